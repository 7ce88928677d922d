import Foundation

@testable import TrackedTasks

extension RegistryOptions {
  /// The defaults, with the thread reuse that `TASKREG_TEST_VARIANT` in the environment asks for:
  /// "fresh": no thread outlives its task; "spin0": no thread spins.
  ///
  /// The contract is the same in every variant.
  static var underTest: RegistryOptions {
    var options = RegistryOptions()
    switch ProcessInfo.processInfo.environment["TASKREG_TEST_VARIANT"] {
    case nil: break
    case "fresh": options.idleThreads = nil
    case "spin0": options.spin = .zero
    case .some(let other): fatalError("TASKREG_TEST_VARIANT is \(other): fresh or spin0")
    }
    return options
  }
}

extension TaskRegistry {
  /// A registry with the defaults of the variant under test.
  convenience init() throws(TaskRegistryError) { try self.init(.underTest) }
}

/// Whether ThreadSanitizer watches this process.
// SAFETY: the handle that stands for all objects of the process is NULL.
let isUnderThreadSanitizer = dlsym(nil, "__tsan_init") != nil
