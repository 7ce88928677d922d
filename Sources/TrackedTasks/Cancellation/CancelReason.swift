/// The reasons with which the library itself cancels; the numbers are those of `TR_REASON_…`.
enum CancelReason {
  static var none: UInt32 { 0 }
  static var userRequested: UInt32 { 1 }
  static var reloadRequested: UInt32 { 3 }
  static var requestedByRun: UInt32 { 4 }
  static var fatal: UInt32 { 5 }
  static var deadline: UInt32 { 6 }
}
