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
  let found = target.symbol(at: address, of: place)
  target.maps.withPath(of: place.mapping) { path in
    found.name.withUnsafeBufferPointer { name in
      body(
        path, path == nil ? 0 : address &- place.start, name.count > 1 ? name.baseAddress : nil,
        found.offset)
    }
  }
}

/// A symbol of a target.
struct KnownSymbol {
  let address: UInt64
  /// NUL-terminated; only that if there is none.
  var name: [UInt8] = [0]
  var offset: UInt64 = 0
}

/// The symbols that were asked for last: many tasks wait for the same lock.
struct SymbolCache {
  private var known: [KnownSymbol] = []
  private static var most: Int { 64 }
  /// How many more are looked for in files: whole tables are searched for each.
  fileprivate var left = 2048

  func find(_ address: UInt64) -> KnownSymbol? {
    for symbol in known where symbol.address == address { return symbol }
    return nil
  }

  mutating func add(_ symbol: KnownSymbol) {
    if known.count >= Self.most { known.removeFirst() }
    known.append(symbol)
  }
}

extension Target {
  /// The symbol at an address of an object, by the object's file.
  fileprivate func symbol(at address: UInt64, of place: ObjectPlace) -> KnownSymbol {
    if let known = symbols.find(address) { return known }
    var symbol = KnownSymbol(address: address)
    if symbols.left == 0 { return symbol }
    symbols.left -= 1
    if let file = ElfFile(of: place.mapping, in: self),
      let found = file.symbol(at: address, start: place.start)
    {
      (symbol.name, symbol.offset) = (found.name, found.offset)
    }
    symbols.add(symbol)
    return symbol
  }
}
