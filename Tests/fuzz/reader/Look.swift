import CPlatform

/// Does what a command line asks for, as the program `taskreg` does.
///
/// - Parameters:
///   - words: the command line behind the program's name.
///   - count: how many there are.
///   - places: the instructions at which the C library of this process is said to wait: for a mutex, a
///     robust one, a lock with a time limit, a signal.
/// - Returns: the exit status.
@_cdecl("taskreg_look")
public func look(
  _ words: UnsafePointer<UnsafePointer<CChar>?>, _ count: Int, _ places: UnsafePointer<UInt64>
) -> Int32 {
  var arguments: [[UInt8]] = []
  for number in 0..<count {
    guard let word = words[number] else { return 2 }
    arguments.append((0...strlen(word)).map { UInt8(bitPattern: word[$0]) })
  }
  do throws(Command.Misuse) {
    let command = try Command(arguments)
    let own = WaitPlaces(
      mutex: places[0], robust: places[1], timed: places[2], signal: places[3])
    return Main.look(command, (own, own.mutex == 0 ? .otherLibrary : .none))
  } catch {
    return 2
  }
}

/// Finds out the instructions at which the C library of this process waits; 0 if they are not known.
@_cdecl("taskreg_places")
public func findPlaces(_ places: UnsafeMutablePointer<UInt64>) {
  let own = LockTrial.places().places
  (places[0], places[1], places[2], places[3]) = (own.mutex, own.robust, own.timed, own.signal)
}
