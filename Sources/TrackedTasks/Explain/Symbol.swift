/// Which symbols are also looked for in the file of an object, which has those that the object does not
/// export unless it is stripped.
enum SymbolsInFile {
  case none
  case variables
  case functions
}

// The tool `taskreg` has this function for another process.
#if !TASKREG_TOOL
  import CPlatform

  /// Finds the object and the symbol of an address, for readers of a backtrace (E10, E12).
  ///
  /// For a return address see `StragglerFacts.place`.
  ///
  /// *Concurrency:* any thread, but not in a signal handler. It takes the lock under which the
  /// dynamic linker changes its list of objects, not the one that it holds while it loads an object.
  /// Nothing is allocated.
  ///
  /// - Parameters:
  ///   - address: in the memory of this process.
  ///   - kind: what is looked for in the object's file if the object exports nothing there.
  ///   - body: called once, under no lock, with text that is valid during the call: the path of the
  ///     object, nil if the address belongs to none, and the offset of the address from the start of
  ///     the object, as addr2line(1) expects it; the function or the variable at the address, nil if
  ///     none is known, and the offset in it.
  func withSymbol(
    of address: UInt64, orInFile kind: SymbolsInFile = .none,
    _ body: (
      _ object: UnsafePointer<UInt8>?, _ objectOffset: UInt64, _ symbol: UnsafePointer<UInt8>?,
      _ symbolOffset: UInt64
    ) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: cp_symbol.self, capacity: 1) { memory in
      // SAFETY: room for one element has a base address, and the shim writes what is read here.
      let found = memory.baseAddress.unsafelyUnwrapped
      if !cp_find_symbol(UInt(truncatingIfNeeded: address), found) {
        body(nil, 0, nil, 0)
        return
      }
      if kind != .none && found.pointee.symbol.0 == 0 {
        let kinds = kind == .variables ? CP_VARIABLES : CP_FUNCTIONS
        _ = cp_find_in_file(UInt32(kinds), found)
      }
      let objectOffset = UInt64(found.pointee.object_offset)
      let symbolOffset = UInt64(found.pointee.symbol_offset)
      withText(&found.pointee.object) { object in
        withText(&found.pointee.symbol) { symbol in
          body(object, objectOffset, symbol, symbolOffset)
        }
      }
    }
  }

  /// Passes an array of characters that C imports as a tuple to `body`; nil if the text is empty.
  private func withText<Characters>(
    _ characters: inout Characters, _ body: (UnsafePointer<UInt8>?) -> Void
  ) {
    withUnsafeBytes(of: &characters) { bytes in
      // SAFETY: never empty, and the shim ends the text with NUL.
      let text = bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
      body(text[0] == 0 ? nil : text)
    }
  }
#endif
