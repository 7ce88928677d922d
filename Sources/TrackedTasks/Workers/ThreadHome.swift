import CPlatform

extension RegistryReference: ThreadHome {
  var scheduling: cp_scheduling { pointer.pointee.origin.scheduling }
  var backtraceSignal: Int32 { Backtrace.signal }
  func restoreSurroundings() -> Bool { pointer.pointee.origin.restore() }
}
