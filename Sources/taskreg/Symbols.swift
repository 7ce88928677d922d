/// Finds the object and the symbol of an address in the target; the core's function of this name finds
/// those of its own process.
///
/// - Parameters:
///   - address: in the target.
///   - orInFile: not used: all symbols are looked for in files.
///   - body: called once: the path of the object, nil if the address belongs to none, and the offset
///     of the address from the object's start; the symbol at the address, nil if it is not known, and
///     the offset in it.
func withSymbol(
  of address: UInt64, orInFile: SymbolsInFile = .none,
  _ body: (
    _ object: UnsafePointer<UInt8>?, _ objectOffset: UInt64, _ symbol: UnsafePointer<UInt8>?,
    _ symbolOffset: UInt64
  ) -> Void
) {
  guard let target = ProbedProcess.target, let place = target.maps.object(at: address) else {
    return body(nil, 0, nil, 0)
  }
  let found = SymbolCache.symbol(at: address, of: place, in: target)
  target.maps.withPath(of: place.mapping) { path in
    found.name.withUnsafeBufferPointer { name in
      body(
        path, path == nil ? 0 : address &- place.start, name.count > 1 ? name.baseAddress : nil,
        found.offset)
    }
  }
}

/// The symbols that were asked for last: many tasks wait for the same lock.
private enum SymbolCache {
  struct Symbol {
    let process: Int32
    let address: UInt64
    /// NUL-terminated; only that if there is none.
    var name: [UInt8] = [0]
    var offset: UInt64 = 0
  }

  // SAFETY: the tool has one thread that examines.
  nonisolated(unsafe) private static var known: [Symbol] = []
  private static var most: Int { 64 }

  static func symbol(at address: UInt64, of place: ObjectPlace, in target: Target) -> Symbol {
    for symbol in known where symbol.address == address && symbol.process == target.process {
      return symbol
    }
    var symbol = Symbol(process: target.process, address: address)
    if let file = ElfFile(of: place.mapping, in: target),
      let found = file.symbol(at: address, start: place.start)
    {
      symbol.name = found.name
      symbol.offset = found.offset
    }
    if known.count >= most { known.removeFirst() }
    known.append(symbol)
    return symbol
  }
}
