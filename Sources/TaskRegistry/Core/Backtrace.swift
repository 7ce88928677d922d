enum Backtrace {
  static var isEnabled: Bool { false }
  static var mostFrames: Int { 48 }
  static func capture(threadID: Int32, into: UnsafeMutablePointer<UInt64>, room: Int) -> Int { 0 }
}

func withSymbol(of address: UInt64, _ body: (_ object: UnsafePointer<UInt8>?, _ objectOffset: UInt64, _ symbol: UnsafePointer<UInt8>?, _ symbolOffset: UInt64) -> Void) { body(nil, 0, nil, 0) }
