// samples.swift - what the README's fragments of Swift take for granted; scripts/samples puts each
// of them into a function behind this.

import TrackedTasks

let registry = try TaskRegistry()
