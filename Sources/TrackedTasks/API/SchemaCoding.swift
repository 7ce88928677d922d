#if !hasFeature(Embedded)

  // The values of this library are encoded as docs/schema describes the objects that `write(to:as:)`
  // and `writeSnapshot(to:as:)` write: a value and the object for the same thing have the same
  // members. Numbers are exact as doubles, as there. What is looked up when it is written, the name
  // of a kind and the symbol of an address, is encoded and not decoded.

  /// The name of a member in docs/schema.
  struct SchemaKey: CodingKey, ExpressibleByStringLiteral {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
    init(stringLiteral value: String) { stringValue = value }
  }

  extension Encoder {
    /// An object of docs/schema.
    func object() -> KeyedEncodingContainer<SchemaKey> { container(keyedBy: SchemaKey.self) }

    /// Encodes the case of an enumeration by its name there.
    func encode(name: StaticString) throws {
      var container = singleValueContainer()
      try container.encode(name.description)
    }
  }

  extension Decoder {
    /// An object of docs/schema.
    func object() throws -> KeyedDecodingContainer<SchemaKey> {
      try container(keyedBy: SchemaKey.self)
    }

    /// Decodes a case of an enumeration from its name there.
    func decode<Value: RawRepresentable>(
      named name: (Value) -> StaticString
    ) throws -> Value where Value.RawValue: FixedWidthInteger {
      let container = try singleValueContainer()
      let text = try container.decode(String.self)
      for number in 0..<64 {
        if let value = Value(rawValue: Value.RawValue(number)), name(value).description == text {
          return value
        }
      }
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "no \(Value.self) has this name: \(text)")
    }
  }

  extension KeyedEncodingContainer<SchemaKey> {
    /// Encodes a member that may be null.
    mutating func encode(orNull value: (some Encodable)?, _ key: SchemaKey) throws {
      if let value { try encode(value, forKey: key) } else { try encodeNil(forKey: key) }
    }

    /// Encodes a number that a double holds exactly.
    mutating func encode(count: some FixedWidthInteger & Encodable, _ key: SchemaKey) throws {
      try encode(count.cutForDouble, forKey: key)
    }

    /// Encodes a duration in nanoseconds, or null.
    mutating func encode(nanoseconds duration: Duration?, _ key: SchemaKey) throws {
      try encode(orNull: duration.map { max(0, $0.wholeNanoseconds).cutForDouble }, key)
    }

    /// Encodes an address or an offset, or null.
    mutating func encode(hexadecimal number: UInt64?, _ key: SchemaKey) throws {
      try encode(orNull: number.map { "0x" + String($0, radix: 16) }, key)
    }

    /// Encodes what a task is called and what it is for.
    mutating func encode(name: String, group: String, kind: TaskKind) throws {
      try encode(name, forKey: "name")
      try encode(group, forKey: "group")
      try encode(Names.kind(kind.rawValue).description, forKey: "kind")
      try encode(kind.rawValue, forKey: "kind_number")
      try encode(
        orNull: KindNames.name(of: kind.rawValue).map { String(cString: $0) }, "kind_name")
    }

    /// Encodes who has spawned a task, and where.
    mutating func encode(parentID: UInt64?, spawnAddress: UInt64?) throws {
      try encode(orNull: parentID, "parent_id")
      try encode(
        orNull: spawnAddress.map { SchemaPlace(address: $0, probedAt: $0 &- 1) }, "spawn_place")
    }
  }

  extension KeyedDecodingContainer<SchemaKey> {
    /// Decodes a duration.
    func decode(nanoseconds key: SchemaKey) throws -> Duration {
      .nanoseconds(try decode(Int64.self, forKey: key))
    }

    /// Decodes a duration that may be null.
    func decodeOrNil(nanoseconds key: SchemaKey) throws -> Duration? {
      try decodeIfPresent(Int64.self, forKey: key).map { .nanoseconds($0) }
    }

    /// Decodes an address that may be null.
    func decodeOrNil(hexadecimal key: SchemaKey) throws -> UInt64? {
      guard let text = try decodeIfPresent(String.self, forKey: key) else { return nil }
      if text.hasPrefix("0x"), let number = UInt64(text.dropFirst(2), radix: 16) { return number }
      throw DecodingError.dataCorruptedError(
        forKey: key, in: self, debugDescription: "this is not a hexadecimal number: \(text)")
    }

    /// Decodes what a task is for.
    func decodeKind() throws -> TaskKind {
      TaskKind(rawValue: try decode(UInt32.self, forKey: "kind_number"))
    }

    /// Decodes where a task was spawned.
    func decodeSpawnAddress() throws -> UInt64? {
      if try decodeNil(forKey: "spawn_place") { return nil }
      let place = try nestedContainer(keyedBy: SchemaKey.self, forKey: "spawn_place")
      return try place.decodeOrNil(hexadecimal: "address")
    }
  }

  /// An address of code, with what is found there when it is encoded.
  struct SchemaPlace: Encodable {
    let address: UInt64
    let probedAt: UInt64

    func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(hexadecimal: address, "address")
      try Self.encode(probedAt, to: &object)
    }

    /// Encodes the object and the function that an address belongs to.
    static func encode(
      _ place: UInt64, to container: inout KeyedEncodingContainer<SchemaKey>
    ) throws {
      var found: (object: String?, offset: UInt64, symbol: String?, symbolOffset: UInt64)
      found = (nil, 0, nil, 0)
      withSymbol(of: place) { object, objectOffset, symbol, symbolOffset in
        found = (
          object.map { String(cString: $0) }, objectOffset, symbol.map { String(cString: $0) },
          symbolOffset
        )
      }
      try container.encode(orNull: found.object, "object")
      try container.encode(hexadecimal: found.offset, "object_offset")
      try container.encode(orNull: found.symbol, "symbol")
      try container.encode(hexadecimal: found.symbolOffset, "symbol_offset")
    }
  }

  /// A part of a value that is not encoded, and does not matter to equality.
  struct Unencoded<Value: Sendable>: Hashable, Sendable {
    var value: Value

    init(_ value: Value) { self.value = value }

    static func == (one: Unencoded, other: Unencoded) -> Bool { true }
    func hash(into hasher: inout Hasher) {}
  }

#endif
