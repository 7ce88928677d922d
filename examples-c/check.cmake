# check.cmake - run an example; require exit status 0 and the expected output, every line of it.
#
#   cmake -DPROGRAM=path -DEXPECTED=expected/01-hello.txt [-DEMULATOR=...] -P check.cmake
#
# EMULATOR is what runs programs for another processor, as in CMAKE_CROSSCOMPILING_EMULATOR.
# In the expected text `<N>` stands for a number, one digit or more; all else is literal.

foreach(argument PROGRAM EXPECTED)
  if(NOT DEFINED ${argument})
    message(FATAL_ERROR "check.cmake: -D${argument}=... is missing")
  endif()
endforeach()

execute_process(
  COMMAND ${EMULATOR} "${PROGRAM}"
  TIMEOUT 30 # seconds
  RESULT_VARIABLE status
  OUTPUT_VARIABLE actual
  ERROR_VARIABLE errors)

file(READ "${EXPECTED}" expected)
string(REGEX REPLACE "([][+.*()^$?|\\])" "\\\\\\1" pattern "${expected}")
string(REPLACE "<N>" "[0-9]+" pattern "${pattern}")

if(NOT status STREQUAL "0")
  message(FATAL_ERROR "${PROGRAM}: exit status ${status}, not 0\n"
    "--- standard output\n${actual}--- standard error\n${errors}")
endif()
if(NOT actual MATCHES "^${pattern}$")
  message(FATAL_ERROR "${PROGRAM}: the output is not the expected one\n"
    "--- expected (<N> is any number)\n${expected}--- actual\n${actual}")
endif()
