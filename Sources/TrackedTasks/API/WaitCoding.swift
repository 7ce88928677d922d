#if !hasFeature(Embedded)

  /// What a thread waits for, as docs/schema/report.json describes it.
  struct SchemaWait: Codable {
    let wait: WaitReport
    let waitedAtLeast: Duration?

    init(wait: WaitReport, waitedAtLeast: Duration?) {
      self.wait = wait
      self.waitedAtLeast = waitedAtLeast
    }

    init(from decoder: any Decoder) throws {
      wait = try WaitReport(from: decoder)
      waitedAtLeast = try decoder.object().decodeOrNil(nanoseconds: "waited_at_least_ns")
    }

    func encode(to encoder: any Encoder) throws {
      try wait.encodeMembers(to: encoder, waitedAtLeast)
    }
  }

  extension WaitReport {
    /// Decodes what a thread waits for, as docs/schema/report.json describes it.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      kind = try object.decode(Kind.self, forKey: "kind")
      unknownBecause = try object.decodeIfPresent(String.self, forKey: "unknown_because")
      if try object.decodeNil(forKey: "holder") {
        holderThreadID = nil
        holderTaskID = nil
        holderName = nil
        holderIsCertain = false
      } else {
        let holder = try object.nestedContainer(keyedBy: SchemaKey.self, forKey: "holder")
        holderThreadID = try holder.decodeIfPresent(Int32.self, forKey: "thread_id")
        holderTaskID = try holder.decodeIfPresent(UInt64.self, forKey: "task_id")
        holderName = try holder.decodeIfPresent(String.self, forKey: "name")
        holderIsCertain = try holder.decode(Bool.self, forKey: "is_certain")
      }
      address = try object.decodeOrNil(hexadecimal: "address")
      descriptor = try object.decodeIfPresent(Int32.self, forKey: "descriptor")
      process = try object.decodeIfPresent(Int32.self, forKey: "process")
      count = try object.decodeIfPresent(Int.self, forKey: "count")
      givesUp = try object.decode(Bool.self, forKey: "gives_up")
    }

    /// Encodes what the thread waits for, as docs/schema/report.json describes it; how long it has
    /// waited is known to the report of its task.
    public func encode(to encoder: any Encoder) throws { try encodeMembers(to: encoder, nil) }

    fileprivate func encodeMembers(to encoder: any Encoder, _ waitedAtLeast: Duration?) throws {
      var object = encoder.object()
      try object.encode(kind, forKey: "kind")
      try object.encode(orNull: unknownBecause, "unknown_because")
      if holderThreadID == nil && holderTaskID == nil {
        try object.encodeNil(forKey: "holder")
      } else {
        var holder = object.nestedContainer(keyedBy: SchemaKey.self, forKey: "holder")
        try holder.encode(orNull: holderThreadID, "thread_id")
        try holder.encode(orNull: holderTaskID, "task_id")
        try holder.encode(orNull: holderName, "name")
        try holder.encode(holderIsCertain, forKey: "is_certain")
      }
      try object.encode(hexadecimal: address, "address")
      try encodeVariable(to: &object)
      try object.encode(orNull: descriptor, "descriptor")
      try object.encode(orNull: process, "process")
      try object.encode(orNull: count, "count")
      try object.encode(givesUp, forKey: "gives_up")
      try object.encode(nanoseconds: waitedAtLeast, "waited_at_least_ns")
    }

    /// Encodes the variable at the address, if there is one.
    private func encodeVariable(to container: inout KeyedEncodingContainer<SchemaKey>) throws {
      var found: (object: String?, offset: UInt64, symbol: String?, symbolOffset: UInt64)
      found = (nil, 0, nil, 0)
      if let address {
        withSymbol(of: address, orInFile: .variables) { object, objectOffset, symbol, offset in
          found = (
            object.map { String(cString: $0) }, objectOffset, symbol.map { String(cString: $0) },
            offset
          )
        }
      }
      try container.encode(orNull: found.symbol, "symbol")
      try container.encode(
        hexadecimal: found.symbol == nil ? nil : found.symbolOffset, "symbol_offset")
      try container.encode(orNull: found.object, "object")
      try container.encode(hexadecimal: found.object == nil ? nil : found.offset, "object_offset")
    }
  }

  extension WaitReport.Kind {
    private static func name(of kind: Self) -> StaticString {
      (WaitEdge.Kind(rawValue: kind.rawValue) ?? .unknown).text
    }

    /// Decodes what is waited for: "mutex".
    public init(from decoder: any Decoder) throws {
      self = try decoder.decode { Self.name(of: $0) }
    }

    /// Encodes what is waited for: "mutex".
    public func encode(to encoder: any Encoder) throws {
      try encoder.encode(name: Self.name(of: self))
    }
  }

  extension LibraryWait {
    /// Decodes a wait of the library, as docs/schema/report.json describes it.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      kind = try object.decode(Kind.self, forKey: "for")
      self.object = try object.decode(UInt64.self, forKey: "object")
      waited = try object.decode(nanoseconds: "waited_ns")
      remaining = try object.decodeOrNil(nanoseconds: "remaining_ns")
    }

    /// Encodes the wait as docs/schema/report.json describes it.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(kind, forKey: "for")
      try object.encode(count: self.object, "object")
      try object.encode(nanoseconds: waited, "waited_ns")
      try object.encode(nanoseconds: remaining, "remaining_ns")
    }
  }

  extension LibraryWait.Kind {
    private static func name(of kind: Self) -> StaticString {
      WaitNote.Kind(rawValue: kind.rawValue)?.name ?? "unknown"
    }

    /// Decodes what is waited for: "condition".
    public init(from decoder: any Decoder) throws {
      self = try decoder.decode { Self.name(of: $0) }
    }

    /// Encodes what is waited for: "condition".
    public func encode(to encoder: any Encoder) throws {
      try encoder.encode(name: Self.name(of: self))
    }
  }

  extension TaskDescriptor.Kind {
    private static func name(of kind: Self) -> StaticString {
      DescriptorFace.Kind(rawValue: kind.rawValue)?.text ?? "unknown"
    }

    /// Decodes what a descriptor is: "pipe".
    public init(from decoder: any Decoder) throws {
      self = try decoder.decode { Self.name(of: $0) }
    }

    /// Encodes what a descriptor is: "pipe".
    public func encode(to encoder: any Encoder) throws {
      try encoder.encode(name: Self.name(of: self))
    }
  }

#endif
