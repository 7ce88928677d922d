#if !hasFeature(Embedded)

  /// Collects in a string what `write` writes, with more room each time that what there was is not
  /// enough.
  func collected(_ write: (TextSink) -> Status) throws(TaskRegistryError) -> String {
    var capacity = 4096
    while true {
      var status = Status.ok
      var whole = 0
      let text = String(unsafeUninitializedCapacity: capacity) { buffer in
        withUnsafeMutablePointer(to: &whole) { length in
          status = write(
            .memory(buffer.baseAddress, capacity: buffer.count, length: length))
        }
        return status == .ok ? whole : 0
      }
      if status != .truncated {
        try check(status)
        return text
      }
      // What is written may have grown by the next time.
      capacity = whole + whole / 8 + 256
    }
  }

#endif
