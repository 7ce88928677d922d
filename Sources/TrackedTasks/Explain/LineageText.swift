/// What lists and reports say of a task's spawn (N4).
extension TextWriter {
  /// Writes "spawned by task 3 at accept_loop+0x41 (/usr/bin/server+0x12f1)", as much of it as is known;
  /// nothing if neither is.
  ///
  /// - Parameters:
  ///   - before: what to write before that.
  ///   - facts: of the task.
  ///   - after: what to write behind it.
  @inline(never)
  mutating func write(_ before: StaticString, spawnOf facts: TaskFacts, _ after: StaticString) {
    if facts.parent == 0 && facts.spawnedFrom == 0 { return }
    write(before)
    write("spawned")
    if facts.parent != 0 {
      write(" by task ")
      write(facts.parent)
    }
    if facts.spawnedFrom != 0 {
      write(" at ")
      // The call is before the address that it returns to.
      withSymbol(of: facts.spawnedFrom &- 1, orInFile: .functions) {
        object, objectOffset, symbol, symbolOffset in
        if let symbol {
          write(text: symbol)
          write("+0x")
          write(hexadecimal: symbolOffset)
        }
        guard let object else {
          if symbol != nil { return }
          write("0x")
          return write(hexadecimal: facts.spawnedFrom &- 1)
        }
        if symbol != nil { write(" (") }
        write(text: object)
        write("+0x")
        write(hexadecimal: objectOffset)
        if symbol != nil { write(")") }
      }
    }
    write(after)
  }

  /// Writes the members that say who has spawned a task, and where.
  @inline(never)
  mutating func write(jsonSpawnOf facts: TaskFacts) {
    write(",\"parent_id\":")
    if facts.parent == 0 { write("null") } else { write(facts.parent) }
    write(",\"spawn_place\":")
    if facts.spawnedFrom == 0 { return write("null") }
    write("{\"address\":\"0x")
    write(hexadecimal: facts.spawnedFrom)
    withSymbol(of: facts.spawnedFrom &- 1) { object, objectOffset, symbol, symbolOffset in
      write("\",\"object\":")
      write(json: object, limit: 4096)
      write(",\"object_offset\":\"0x")
      write(hexadecimal: objectOffset)
      write("\",\"symbol\":")
      write(json: symbol, limit: 4096)
      write(",\"symbol_offset\":\"0x")
      write(hexadecimal: symbolOffset)
    }
    write("\"}")
  }
}
