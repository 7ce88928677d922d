module taskreg

go 1.18
