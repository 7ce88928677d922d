#if !hasFeature(Embedded)

  /// One frame of a straggler's backtrace.
  public struct BacktraceFrame: Hashable, Sendable, Codable {
    /// The code that an address belongs to.
    public struct Symbol: Hashable, Sendable {
      /// The path of the program or library that contains the code.
      public let object: String
      /// The offset of the call from the start of the object, as addr2line(1) expects it.
      public let objectOffset: UInt64
      /// The function that the object exports at this place; nil if there is none.
      public let function: String?
      /// The offset of the call from the start of the function; 0 if `function` is nil.
      public let functionOffset: UInt64
    }

    /// The address where the thread was, in the innermost frame; in the others, a return address.
    public let address: UInt64
    /// The frame's number, counted from the innermost frame, which is 0.
    public let depth: Int

    /// The code that the address belongs to; nil if no loaded object contains it.
    ///
    /// It is looked up at each use, in the objects that are loaded then.
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
    /// The frame as text, "0x7f3a12 read+0x4d (/lib/libc.so.6+0xf89d)"; parts that are not known
    /// are left out.
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
