#if !hasFeature(Embedded)

  /// One place in a straggler's backtrace (E12).
  public struct BacktraceFrame: Hashable, Sendable, Codable {
    /// What an address belongs to.
    public struct Symbol: Hashable, Sendable {
      /// The path of the program or library whose code it is.
      public let object: String
      /// How far behind the begin of the object the call is, as addr2line(1) wants it.
      public let objectOffset: UInt64
      /// The function that the object exports there; nil if there is none.
      public let function: String?
      /// How far into the function the call is; 0 without one.
      public let functionOffset: UInt64
    }

    /// The address: of the innermost frame where its thread was, of the others where a call returns to.
    public let address: UInt64
    /// How many frames are further in.
    public let depth: Int

    /// What the address belongs to, as the program is now; nil for an address of nobody's.
    ///
    /// It is looked up at each use.
    public var symbol: Symbol? {
      var symbol: Symbol?
      let place = StragglerFacts.place(ofFrame: depth, at: address)
      withSymbol(of: place) { object, objectOffset, function, functionOffset in
        guard let object else { return }
        symbol = Symbol(
          object: String(cString: object), objectOffset: objectOffset,
          function: function.map { String(cString: $0) }, functionOffset: functionOffset)
      }
      return symbol
    }
  }

  extension BacktraceFrame: CustomStringConvertible {
    /// "0x7f3a12 read+0x4d (/lib/libc.so.6+0xf89d)", without what is not known.
    public var description: String {
      let number = "0x" + String(address, radix: 16)
      guard let symbol else { return number }
      let function = symbol.function.map {
        " \($0)+0x" + String(symbol.functionOffset, radix: 16)
      }
      let place = "(\(symbol.object)+0x" + String(symbol.objectOffset, radix: 16) + ")"
      return "\(number)\(function ?? "") \(place)"
    }
  }

#endif
