import CPlatform
import Glibc
import Testing

@testable import TrackedTasks

/// Notifications to systemd.
///
/// The C suite proves the rest. There is one notifier at a time: serialized.
@Suite(.serialized) struct SystemdNotificationTests {
  /// **Proves:** ready, alive, stopping and the end come as the protocol has them (E11).
  ///
  /// **Why it matters:** a Swift service wants no library for this.
  /// **Catches:** intervals mixed up; a notification that does not end.
  @Test func theManagerIsNotified() throws {
    let manager = try ServiceManager("service")
    let registry = try TaskRegistry()
    try registry.startNotifyingSystemd(
      socket: manager.address, watchdog: .milliseconds(20), statusInterval: .seconds(3600))
    #expect(manager.receive() == "READY=1")
    #expect(manager.receive() == "WATCHDOG=1")
    try registry.stopNotifyingSystemd()
    while recv(manager.descriptor, nil, 0, Int32(MSG_DONTWAIT)) >= 0 {}

    let notified = Gate()
    let gate = Gate()
    try registry.spawn("journal", kind: .maintenance) { task in
      task.checkpoint("flushing")
      task.progress(30, of: 100, unit: "blocks")
      notified.open()
      gate.wait()
    }
    notified.wait()
    try registry.startNotifyingSystemd(
      socket: manager.address, watchdog: .zero, statusInterval: .seconds(3600))
    #expect(manager.receive() == "READY=1")
    registry.token.cancel(reason: .userRequested)
    #expect(
      manager.receive()
        == "STOPPING=1\nSTATUS=stopping: waiting for 1 task: journal (flushing; 30 of 100 blocks)")
    gate.open()
    try registry.shutdown(grace: ample)
    try registry.stopNotifyingSystemd()
    close(manager.descriptor)
  }

  /// **Proves:** invalid arguments, a second start and a stop without a start are rejected; without
  /// a socket nothing is started (E11, P4).
  ///
  /// **Why it matters:** the same program runs in a terminal.
  /// **Catches:** an interval of zero taken for the default; a path cut at a NUL.
  @Test func nonsenseIsRejected() throws {
    let manager = try ServiceManager("nonsense")
    let registry = try TaskRegistry()
    for (socket, watchdog, interval) in [
      ("relative", Duration.zero, Duration.seconds(1)), ("", .zero, .seconds(1)),
      ("/run\0", .zero, .seconds(1)), (manager.address, .seconds(-1), .seconds(1)),
      (manager.address, .zero, .zero), (manager.address, .zero, .seconds(-1)),
    ] {
      #expect(
        errorOf { () throws(TaskRegistryError) in
          try registry.startNotifyingSystemd(
            socket: socket, watchdog: watchdog, statusInterval: interval)
        } == .invalidArgument)
    }
    #expect(
      errorOf { () throws(TaskRegistryError) in
        try registry.startNotifyingSystemd(socket: "/nowhere/at/all")
      } == .systemFailure)
    #expect(
      errorOf { () throws(TaskRegistryError) in try registry.stopNotifyingSystemd() }
        == .invalidArgument)
    try registry.startNotifyingSystemd(socket: manager.address)
    #expect(
      errorOf { () throws(TaskRegistryError) in
        try registry.startNotifyingSystemd(socket: manager.address)
      } == .invalidArgument)
    try registry.stopNotifyingSystemd()
    close(manager.descriptor)
    if getenv("NOTIFY_SOCKET") == nil {
      try registry.startNotifyingSystemd()
      #expect(
        errorOf { () throws(TaskRegistryError) in try registry.stopNotifyingSystemd() }
          == .invalidArgument)
    }
  }
}
