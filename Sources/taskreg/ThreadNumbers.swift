import CPlatform

/// The ids of a process's threads, as the process knows them and as this one does: they differ if it
/// is in a PID namespace of its own.
final class ThreadNumbers {
  private let process: Int32
  /// Whether they differ.
  private let differs: Bool
  private var pairs: [(inner: Int32, outer: Int32)] = []

  init(of process: Int32, differs: Bool) {
    self.process = process
    self.differs = differs
  }

  /// The id that this process uses; 0, which no thread has, if there is no such thread.
  func outer(of inner: Int32) -> Int32 {
    if !differs { return inner }
    for isFresh in [false, true] {
      if isFresh { load() }
      for pair in pairs where pair.inner == inner { return pair.outer }
    }
    return 0
  }

  /// The id that the process uses; that of this one if it is not known.
  func inner(of outer: Int32) -> Int32 { differs ? Self.innermost(process, outer) ?? outer : outer }

  private func load() {
    pairs = []
    var list = cp_thread_list()
    withFixedText {
      $0.append("/proc/")
      $0.append(process)
      $0.append("/task")
    } _: { path in
      path.withMemoryRebound(to: CChar.self, capacity: 1) {
        if cp_thread_list_open(&list, $0) != 0 { list.fd = -1 }
      }
    }
    if list.fd < 0 { return }
    while true {
      let outer = cp_thread_list_next(&list)
      if outer <= 0 { break }
      if let inner = Self.innermost(process, outer) { pairs.append((inner, outer)) }
    }
    cp_thread_list_close(&list)
  }

  /// The last number of the line NSpid in a thread's file `status`.
  static func innermost(_ process: Int32, _ thread: Int32) -> Int32? {
    numbers(process, thread).innermost
  }

  /// The last number of that line, and how many there are: one for each namespace.
  static func numbers(_ process: Int32, _ thread: Int32) -> (innermost: Int32?, count: Int) {
    var found: Int32?
    var count = 0
    withFixedText {
      $0.append("/proc/")
      $0.append(process)
      $0.append("/task/")
      $0.append(thread)
      $0.append("/status")
    } _: {
      let status = File.read($0, most: 8192)
      guard var place = status.end(ofLine: "NSpid:") else { return }
      while place < status.count && status[place] != 0x0A {
        if let number = status.number(at: place) { found = Int32(clamping: number) }
        count += 1
        place += 1
        while place < status.count && status[place] > 0x20 { place += 1 }
      }
    }
    return (found, count)
  }
}
