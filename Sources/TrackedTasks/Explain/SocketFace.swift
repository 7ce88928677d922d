import CPlatform

extension DescriptorFace {
  /// A socket, with its addresses and what it has to read.
  mutating func becomeSocket(_ context: Context) {
    if !context.mayAsk {
      let isOwn = context.isOwn
      become(.otherSocket) {
        $0.append("socket; not asked for more, because its thread ")
        // It may hold the socket's lock in the kernel.
        $0.append(isOwn ? "is in an uninterruptible sleep" : "has descriptors of its own")
      }
      isKindAssumed = true
      return
    }
    var facts = cp_socket()
    if !ProbedProcess.with(descriptor: number, { cp_ask_socket($0, &facts) }) {
      isNotKnown("the system does not say what socket it is")
      return
    }
    var peer = (start: 0, length: 0)
    become(Self.kind(of: facts)) { peer = $0.append(facts) }
    setPeer(at: peer.start, length: peer.length)
  }

  private static func kind(of facts: cp_socket) -> Kind {
    if facts.domain == AF_UNIX { return .unix }
    if facts.protocol == Int32(CP_TCP) { return .tcp }
    if facts.protocol == Int32(CP_UDP) { return .udp }
    return .otherSocket
  }
}

extension FixedText {
  /// Appends the socket; where in the text the address of its other end is, which may be nowhere.
  fileprivate mutating func append(_ socket: cp_socket) -> (start: Int, length: Int) {
    switch (socket.domain, socket.protocol) {
    case (AF_UNIX, _):
      append("unix")
      if socket.type == Int32(CP_STREAM) { append(" stream") }
      if socket.type == Int32(CP_DATAGRAM) { append(" datagram") }
      if socket.type == Int32(CP_SEQPACKET) { append(" seqpacket") }
    case (_, Int32(CP_TCP)): append("tcp")
    case (_, Int32(CP_UDP)): append("udp")
    default:
      append("socket of family ")
      append(socket.domain)
      append(", protocol ")
      append(socket.protocol)
    }
    append(socket.local, after: " ")
    let arrow: StaticString = " \u{2192} "
    let start = count + arrow.utf8CodeUnitCount
    append(socket.remote, after: arrow)
    let peer = (start: start, length: count - start)
    appendState(socket)
    if socket.is_listening == 1 { return peer }
    if socket.domain == AF_UNIX { appendPeer(socket.peer) }
    if socket.unread >= 0 {
      append(", ")
      append(socket.unread)
      append(socket.unread == 1 ? " byte to read" : " bytes to read")
    }
    if socket.unsent > 0 {
      append(", ")
      append(socket.unsent)
      append(socket.unsent == 1 ? " byte unsent" : " bytes unsent")
    }
    return peer
  }

  private mutating func appendState(_ socket: cp_socket) {
    if socket.tcp_state >= 0 {
      append(", ")
      append(Self.tcpState(socket.tcp_state))
    } else if socket.is_listening == 1 {
      append(", LISTEN")
    }
    if socket.is_listening != 1 || socket.waiting < 0 { return }
    append(", ")
    append(socket.waiting)
    append(" of ")
    append(socket.backlog)
    append(" connections to accept")
  }

  /// Appends the process at the other end, as far as the kernel knows it: the one that connected,
  /// or listens, or made the pair.
  private mutating func appendPeer(_ peer: Int32) {
    if peer <= 0 { return }
    append(", peer process ")
    append(peer)
    if peer == ProbedProcess.id { append(" (this one)") }
  }

  private static func tcpState(_ number: Int32) -> StaticString {
    switch number {
    case 1: "ESTABLISHED"
    case 2: "SYN_SENT"
    case 3: "SYN_RECV"
    case 4: "FIN_WAIT1"
    case 5: "FIN_WAIT2"
    case 6: "TIME_WAIT"
    case 7: "CLOSE"
    case 8: "CLOSE_WAIT"
    case 9: "LAST_ACK"
    case 10: "LISTEN"
    case 11: "CLOSING"
    default: "in a state without a name"
    }
  }

  /// Appends an address behind `joint`, or nothing if there is none.
  private mutating func append(_ end: cp_endpoint, after joint: StaticString) {
    switch end.family {
    case AF_INET:
      append(joint)
      withUnsafeBytes(of: end.address) { append(ipv4: $0, from: 0) }
      append(":")
      append(end.port)
    case AF_INET6:
      append(joint)
      append("[")
      withUnsafeBytes(of: end.address) { append(ipv6: $0) }
      if end.scope != 0 {
        append("%")
        append(end.scope)
      }
      append("]:")
      append(end.port)
    case AF_UNIX where end.length > 0:
      append(joint)
      withUnsafeBytes(of: end.name) { append(unixName: $0, Int(end.length)) }
    default: break
    }
  }

  /// Appends the name of a unix socket; the NULs of an abstract one become "@".
  private mutating func append(unixName bytes: UnsafeRawBufferPointer, _ length: Int) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 112) { name in
      let length = min(length, bytes.count)
      for place in 0..<length { name[place] = bytes[place] == 0 ? 0x40 : bytes[place] }
      name[length] = 0
      // SAFETY: not empty.
      append(escaped: UnsafePointer(name.baseAddress.unsafelyUnwrapped))
    }
  }

  /// Appends four bytes of an address in decimal.
  mutating func append(ipv4 bytes: UnsafeRawBufferPointer, from start: Int) {
    for place in 0..<4 {
      if place > 0 { append(".") }
      append(bytes[start + place])
    }
  }

  /// Appends 16 bytes as RFC 5952 recommends: the longest row of zeros, the first of equally long
  /// ones, as "::"; an address of IPv4 in decimal.
  mutating func append(ipv6 bytes: UnsafeRawBufferPointer) {
    func group(_ index: Int) -> UInt16 {
      UInt16(bytes[2 * index]) << 8 | UInt16(bytes[2 * index + 1])
    }
    var (longest, length) = (0, 1)
    var start = 0
    while start < 8 {
      var end = start
      while end < 8 && group(end) == 0 { end += 1 }
      if end - start > length { (longest, length) = (start, end - start) }
      start = end + 1
    }
    let isMapped = longest == 0 && length == 5 && group(5) == 0xFFFF
    var place = 0
    while place < (isMapped ? 6 : 8) {
      if length > 1 && place == longest {
        append("::")
        place += length
        continue
      }
      if place > 0 && !(length > 1 && place == longest + length) { append(":") }
      appendHexadecimal(group(place))
      place += 1
    }
    if !isMapped { return }
    append(":")
    append(ipv4: bytes, from: 12)
  }

  private mutating func appendHexadecimal(_ number: UInt16) {
    let digits: StaticString = "0123456789abcdef"
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 2) { digit in
      digit[1] = 0
      var shift: UInt16 = number < 16 ? 0 : number < 256 ? 4 : number < 4096 ? 8 : 12
      while true {
        digit[0] = digits.utf8Start[Int(number >> shift & 15)]
        append(utf8: UnsafePointer(digit.baseAddress.unsafelyUnwrapped))
        if shift == 0 { return }
        shift -= 4
      }
    }
  }
}
