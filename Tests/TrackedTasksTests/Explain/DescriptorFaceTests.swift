import CPlatform
import Glibc
import Testing

@testable import TrackedTasks

/// What a report says of a descriptor.
@Suite struct DescriptorFaceTests {
  private func parse<Result>(
    _ text: String, _ parser: (UnsafeBufferPointer<UInt8>) -> Result
  ) -> Result {
    Array(text.utf8).withUnsafeBufferPointer(parser)
  }

  private func written(_ build: (inout FixedText) -> Void) -> String {
    var face = DescriptorFace(number: 0)
    face.write(build)
    return face.withText { String(cString: $0) }
  }

  private func face(of number: Int32, state: UInt8 = 0x53, budget: Int = DescriptorFace.budget)
    -> (DescriptorFace.Kind, String, spent: Int)
  {
    var face = DescriptorFace(number: number)
    var left = budget
    face.examine(threadID: gettid(), state: state, budget: &left)
    return (face.kind, face.withText { String(cString: $0) }, budget - left)
  }

  private func gettid() -> Int32 { cp_gettid() }

  /// **Proves:** a number in `fdinfo` is read if it is whole and fits, and not otherwise (E13).
  ///
  /// **Why it matters:** the counter of an eventfd may be as large as 64 bits hold.
  /// **Catches:** a number that is cut at the end of what was read; one that wraps.
  @Test func aNumberBehindItsTitleIsWhole() {
    func count(_ text: String) -> UInt64? {
      parse(text) { DescriptorFace.number(after: "count:", in: $0, base: 16) }
    }
    #expect(count("pos:\t0\ncount:               2a\nid: 1") == 42)
    #expect(count("count:\tffffffffffffffff\n") == .max)
    for text in ["", "count:", "count: \n", "count: 2a", "count: 10000000000000000\n", "coun: 1\n"]
    {
      #expect(count(text) == nil, "\(text)")
    }
  }

  /// **Proves:** the time of a timerfd is seconds and nanoseconds, 0 if it is not armed, and the
  /// longest there is if it does not fit (E13).
  ///
  /// **Why it matters:** "due in -9 s" would be a lie.
  /// **Catches:** an overflow; nanoseconds of a second or more.
  @Test(arguments: [
    ("it_value: (1, 200000000)\n", 1_200_000_000), ("it_value: (0, 0)\n", 0),
    ("x\nit_value: (0, 5)\nit_interval: (7, 8)\n", 5),
    ("it_value: (9223372036, 854775806)\n", Int64.max - 1),
    ("it_value: (9223372036, 999999999)\n", Int64.max), ("it_value: (9223372037, 0)\n", Int64.max),
    ("it_value: (18446744073, 999999999)\n", Int64.max),
    ("it_value: (18446744073709551615, 0)\n", Int64.max),
  ])
  func aTimerIsDue(text: String, due: Int64) {
    #expect(parse(text) { DescriptorFace.timerDue(in: $0) } == due, "\(text)")
  }

  @Test func aTimerWithoutATimeIsNotKnown() {
    for text in [
      "", "it_value: (", "it_value: (1", "it_value: (1, ", "it_value: (1, 1000000000)\n",
    ] {
      #expect(parse(text) { DescriptorFace.timerDue(in: $0) } == nil, "\(text)")
    }
  }

  /// **Proves:** addresses of IPv6 are written as inet_ntop(3) writes them, for every pattern of zero groups and at
  /// random (E13).
  ///
  /// **Why it matters:** people search their logs for the address.
  /// **Catches:** "::" for a single group, or twice; a row that is not the first of the longest ones.
  @Test func addressesAreWrittenAsElsewhere() {
    var random = SplitMix(state: 13)
    for pattern in 0..<4096 {
      var bytes = [UInt8](repeating: 0, count: 16)
      for group in 0..<8 where pattern >> group & 1 != 0 {
        // One to four digits.
        let value = UInt16(truncatingIfNeeded: random.next()) >> UInt16(4 * (random.next() % 4)) | 1
        (bytes[2 * group], bytes[2 * group + 1]) = (UInt8(value >> 8), UInt8(value & 255))
      }
      // ::ffff:1.2.3.4
      if pattern & 0xF1F == 0xF00 { (bytes[10], bytes[11]) = (255, 255) }
      // inet_ntop also writes ::1.2.3.4, which RFC 5952 leaves to the writer.
      if bytes[0..<12].allSatisfy({ $0 == 0 }) { continue }
      var expected = [CChar](repeating: 0, count: 64)
      inet_ntop(AF_INET6, bytes, &expected, 64)
      let text = written { text in bytes.withUnsafeBytes { text.append(ipv6: $0) } }
      let length = expected.firstIndex(of: 0) ?? expected.count
      let bytesOfIt = expected[..<length].map { UInt8(bitPattern: $0) }
      let wanted = String(decoding: bytesOfIt, as: UTF8.self)
      #expect(text == wanted)
    }
  }

  /// **Proves:** a thread in an uninterruptible sleep gets no more than what its link says: no question that the kernel
  /// might answer only after that sleep; and a pipe is not looked for once the report's budget is spent (E13).
  ///
  /// **Why it matters:** a report on a hung file system must not hang with it, and one on ten thousand pipes must end.
  /// **Catches:** a socket that is asked; a search without a limit.
  @Test func whatMightHangIsNotAsked() {
    var pair: [Int32] = [0, 0]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    defer { for fd in pair + ends { close(fd) } }
    let asleep = face(of: pair[0], state: 0x44)
    #expect(asleep.0 == .otherSocket)
    #expect(
      asleep.1
        == "socket; not asked for more, because its thread is in an uninterruptible sleep")
    #expect(face(of: pair[0]).0 == .unix)
    let searched = face(of: ends[0])
    #expect(searched.1 == "pipe, written by this process's fd \(ends[1])")
    #expect(searched.spent > 0)
    let unsearched = face(of: ends[0], budget: searched.spent - 1)
    #expect(unsearched.0 == .pipe)
    #expect(unsearched.1 == "pipe; who has the other end was not looked for")
    #expect(unsearched.spent == 0)
  }

  /// **Proves:** a device is called one, a number that is not open is not known, and errno is as before (E13).
  ///
  /// **Why it matters:** a report may be made anywhere.
  /// **Catches:** a face of nothing; errno changed.
  @Test func devicesAndNothing() {
    let null = open("/dev/null", O_RDONLY)
    defer { close(null) }
    errno = 77
    let device = face(of: null)
    let nothing = face(of: 1_000_000)
    #expect(errno == 77)
    #expect(device.0 == .device)
    #expect(device.1 == "device /dev/null")
    #expect(nothing.0 == .notKnown)
    #expect(nothing.1 == "not known, because it is not open any more")
  }

  /// **Proves:** Swift's report has the descriptor of a task, unless the call or the registry's options leave it out
  /// (E13).
  ///
  /// **Why it matters:** paths and addresses are disclosed otherwise.
  /// **Catches:** an option that is not passed on.
  @Test func swiftReportsHaveDescriptors() throws {
    for isReported in [true, false] {
      var ends: [Int32] = [0, 0]
      #expect(pipe(&ends) == 0)
      var options = RegistryOptions()
      options.reportsDescriptors = isReported
      let registry = try TaskRegistry(options)
      let reading = ends[0]
      _ = try registry.spawn("reads", kind: .maintenance) { _ in
        var byte: UInt8 = 0
        _ = Glibc.read(reading, &byte, 1)
      }
      var straggler: StragglerReport
      repeat {
        let report = try registry.explain(withBacktraces: false)
        straggler = try #require(report.stragglers.first)
      } while straggler.syscallName != "read" && straggler.probeError == nil
      if straggler.syscallName == "read" {
        #expect((straggler.descriptor != nil) == isReported)
        if let descriptor = straggler.descriptor {
          #expect(descriptor.number == reading)
          #expect(descriptor.kind == .pipe)
          #expect(descriptor.text.hasPrefix("pipe, written by this process's fd "))
        }
        let without = try registry.explain(withBacktraces: false, withDescriptors: false)
        #expect(without.stragglers.first?.descriptor == nil)
      }
      close(ends[1])
      _ = try registry.shutdown(reason: .userRequested, message: "end", grace: nil)
      close(ends[0])
    }
  }

  /// **Proves:** a kernel function that another call of the thread slept in is not held against the descriptor of the one
  /// that it is in (E13).
  ///
  /// **Why it matters:** the function is read first, and a thread that leaves one call for another in between has closed
  /// nothing.
  /// **Catches:** a contradiction that is not looked at a second time.
  @Test func theFunctionOfAnotherCallContradictsNothing() {
    var pair: [Int32] = [0, 0]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    let (reading, writing) = (pair[0], pair[1])
    let id = Locked<Int32>(0)
    let thread = PlainThread {
      id.withLock { $0 = ownThreadID() }
      var byte: UInt8 = 0
      _ = Glibc.read(reading, &byte, 1)
    }
    var probe = ThreadProbe()
    #expect(
      eventually {
        probe = ThreadProbe.at(threadID: id.value)
        return probe.schedulerState == UInt8(ascii: "S") && probe.syscall == Int32(SYS_read)
      })
    probe.waitChannel = parse("anon_pipe_read") { ThreadProbe.waitChannel(in: $0) }
    var budget = DescriptorFace.budget
    let face = DescriptorFace(of: probe, threadID: id.value, noted: nil, budget: &budget)
    #expect(face?.kind == .unix)
    _ = Glibc.write(writing, &pair, 1)
    thread.join()
    for fd in [reading, writing] { close(fd) }
  }
}
