// A program in ordinary Swift, with the ordinary runtime, that uses libtaskreg's C interface:
// strings, arrays, dictionaries and classes are made, retained and released on the main thread
// before and after the library is there, and on the library's threads, inside task bodies.
//
// Proves:  the Embedded library and the real runtime do not meet: swift_retain is libswiftCore's
//          for everyone, and no object is lost or freed twice.
// Catches: an exported weak swift_* symbol (above all when the library is preloaded, as then its
//          symbols come first), or an archive whose symbols are not localised.
//
// swift-host.sh builds it three times: linked, linked to the archive, and with DLOPEN.

import CTaskReg
import Glibc
import Synchronization

/// How many `Node`s are alive, over all threads.
let alive = Atomic<Int>(0)

/// A link of a chain with a payload that allocates.
final class Node {
  let name: String
  let payload: [String: [Int]]
  let next: Node?

  init(_ index: Int, next: Node?) {
    name = "node \(index) of a chain whose names are too long to be stored in place"
    payload = [name: Array(0...index % 7), "other": [index]]
    self.next = next
    alive.add(1, ordering: .relaxed)
  }

  deinit { alive.subtract(1, ordering: .relaxed) }
}

/// Works the allocator and the reference counts; returns a number that depends on all of it.
func exercise(_ rounds: Int) -> Int {
  var total = 0
  for round in 0..<rounds {
    var chain: Node?
    for index in 0..<50 { chain = Node(index, next: chain) }
    var all: [Node] = []
    var cursor = chain
    while let node = cursor {
      all.append(node)
      cursor = node.next
    }
    let sorted = all.sorted { $0.name < $1.name }
    let text = sorted.map(\.name).joined(separator: ", ")
    total &+= text.utf8.count &+ sorted.reduce(0) { $0 &+ ($1.payload["other"]?.first ?? 0) }
    total &+= Set(all.map { $0.name.count &+ round }).count
  }
  return total
}

/// What one task is given: retained for the task, released by its `drop`.
final class Work: Sendable {
  let rounds: Int
  let result = Atomic<Int>(0)
  init(rounds: Int) {
    self.rounds = rounds
    alive.add(1, ordering: .relaxed)
  }
  deinit { alive.subtract(1, ordering: .relaxed) }
}

func stop(_ what: String) -> Never {
  let line = Array("swift-host: \(what)\n".utf8)
  _ = write(STDERR_FILENO, line, line.count)
  exit(1)
}

func require(_ condition: Bool, _ what: @autoclosure () -> String) {
  if !condition { stop(what()) }
}

/// The functions used, linked or looked up.
struct Library {
  typealias Create =
    @convention(c) (UnsafePointer<tr_registry_options>?, UnsafeMutablePointer<OpaquePointer?>?)
    -> tr_status
  typealias SpawnWith =
    @convention(c) (
      OpaquePointer?, UnsafePointer<CChar>?, tr_kind, tr_task_fn?, UnsafeMutableRawPointer?,
      UnsafePointer<tr_spawn_options>?, UnsafeMutablePointer<OpaquePointer?>?
    ) -> tr_status
  typealias Shutdown =
    @convention(c) (
      OpaquePointer?, tr_reason, UnsafePointer<CChar>?, Int64, UnsafeMutablePointer<tr_join_report>?
    ) -> tr_status
  typealias Release = @convention(c) (OpaquePointer?) -> Void

  let create: Create
  let spawnWith: SpawnWith
  let shutdown: Shutdown
  let release: Release

  #if DLOPEN
    init(path: String) {
      let handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL)
      require(handle != nil, "dlopen: \(String(cString: dlerror()))")
      func find<F>(_ name: String, as type: F.Type) -> F {
        guard let address = dlsym(handle, name) else { stop("\(name) is not exported") }
        return unsafeBitCast(address, to: type)
      }
      create = find("tr_registry_create", as: Create.self)
      spawnWith = find("tr_spawn_with", as: SpawnWith.self)
      shutdown = find("tr_shutdown", as: Shutdown.self)
      release = find("tr_registry_release", as: Release.self)
    }
  #else
    init(path: String) {
      create = { tr_registry_create($0, $1) }
      spawnWith = { tr_spawn_with($0, $1, $2, $3, $4, $5, $6) }
      shutdown = { tr_shutdown($0, $1, $2, $3, $4) }
      release = { tr_registry_release($0) }
    }
  #endif
}

/// The file that `name` resolves to for this program.
///
/// `dladdr` is not in the Glibc module, nor is
/// its `Dl_info`: four words, of which the first is the address of the file's name.
func home(of name: String) -> String {
  typealias Dladdr =
    @convention(c) (UnsafeRawPointer?, UnsafeMutablePointer<UInt>?) -> Int32
  guard let dladdr = dlsym(nil, "dladdr"), let address = dlsym(nil, name) else { return "nowhere" }
  var info: [UInt] = [0, 0, 0, 0]
  guard unsafeBitCast(dladdr, to: Dladdr.self)(address, &info) != 0,
    let file = UnsafePointer<CChar>(bitPattern: info[0])
  else { return "nowhere" }
  return String(cString: file)
}

func checkRuntime(_ when: String) {
  for symbol in ["swift_retain", "swift_release", "swift_allocObject", "swift_once"] {
    let file = home(of: symbol)
    require(file.contains("libswiftCore"), "\(when), \(symbol) comes from \(file)")
  }
}

let expected = exercise(5)
checkRuntime("before")
require(alive.load(ordering: .relaxed) == 0, "objects are left before the library was used")

let library = Library(path: CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "")
checkRuntime("with the library loaded")

for round in 0..<3 {
  var registry: OpaquePointer?
  require(library.create(nil, &registry) == 0, "tr_registry_create failed")

  var options = tr_spawn_options()
  options.size = UInt32(MemoryLayout<tr_spawn_options>.size)
  // SAFETY: the reference that passRetained made below is released here, once (S4).
  options.drop = { Unmanaged<Work>.fromOpaque($0!).release() }

  var works: [Work] = []
  for index in 0..<16 {
    let work = Work(rounds: 5)
    works.append(work)
    let status = library.spawnWith(
      registry, "worker \(round).\(index)", tr_kind(3),
      { _, context in
        // SAFETY: the task holds the reference that passRetained made, until its drop.
        let work = Unmanaged<Work>.fromOpaque(context!).takeUnretainedValue()
        work.result.store(exercise(work.rounds), ordering: .releasing)
        return 0
      },
      Unmanaged.passRetained(work).toOpaque(), &options, nil)
    require(status == 0, "tr_spawn_with: status \(status)")
  }
  _ = exercise(2)

  var report = tr_join_report()
  report.size = UInt32(MemoryLayout<tr_join_report>.size)
  let status = library.shutdown(registry, tr_reason(1), "enough", 60_000_000_000, &report)
  require(status == 0, "tr_shutdown: status \(status)")
  library.release(registry)
  for work in works {
    require(work.result.load(ordering: .acquiring) == expected, "a task computed something else")
  }
}

require(exercise(5) == expected, "the same work came out differently after the library was used")
require(alive.load(ordering: .relaxed) == 0, "\(alive.load(ordering: .relaxed)) objects are left")
checkRuntime("after")
print("48 tasks on the library's threads, and nothing left")
