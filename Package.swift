// swift-tools-version: 6.2
// libtaskreg: one core, compiled twice. `TrackedTasks` is ordinary Swift for Swift users;
// `TaskRegistryC` is the same core as Embedded Swift behind a C ABI, for everyone else.

import PackageDescription

/// Everything but `tr_*` stays inside the library.
///
/// This is a matter of correctness: an Embedded object defines weak `swift_retain`,
/// `swift_allocObject`, … which, if exported, would take the place of the real runtime's in a host
/// that has one. See docs/design/0002.
let exportMap = "\(Context.packageDirectory)/Sources/TaskRegistryC/taskreg.map"

let package = Package(
  name: "libtaskreg",
  products: [
    .library(name: "TrackedTasks", targets: ["TrackedTasks"]),
    .library(name: "taskreg", type: .dynamic, targets: ["TaskRegistryC"]),
  ],
  targets: [
    // The one truth of the C API. `pthread-stubs` carries no code on Linux; it states the
    // dependency on POSIX threads where a system provides them apart from libc.
    .systemLibrary(
      name: "CTaskReg", path: "include", pkgConfig: "pthread-stubs",
      providers: [.apt(["libpthread-stubs0-dev"])]),
    // static inline shims for what Swift cannot import; no code of its own.
    .target(name: "CPlatform"),
    .target(
      name: "TrackedTasks", dependencies: ["CPlatform"],
      swiftSettings: [.treatAllWarnings(as: .error)]),
    .target(
      name: "TaskRegistryC", dependencies: ["CPlatform", "CTaskReg"],
      exclude: ["taskreg.map", ".swift-format"],
      swiftSettings: [
        .enableExperimentalFeature("Embedded"), .treatAllWarnings(as: .error),
      ],
      linkerSettings: [
        .unsafeFlags([
          "-Xlinker", "--version-script=\(exportMap)",
          "-Xlinker", "-soname=libtaskreg.so.0",
          "-Xlinker", "-z", "-Xlinker", "nodelete",
          "-Xlinker", "-z", "-Xlinker", "relro",
          "-Xlinker", "-z", "-Xlinker", "now",
          "-Xlinker", "--gc-sections",
        ])
      ]),
    .testTarget(
      name: "TrackedTasksTests", dependencies: ["TrackedTasks", "CPlatform"],
      swiftSettings: [.treatAllWarnings(as: .error)]),
  ],
  swiftLanguageModes: [.v6]
)
