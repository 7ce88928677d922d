// samples.swift - what the README's fragments of Swift take for granted; scripts/samples puts each of them into
// a function behind this.

import TaskRegistry

let registry = try TaskRegistry()
