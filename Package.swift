// swift-tools-version: 6.3
// libtaskreg: one core, compiled twice. `TrackedTasks` is ordinary Swift for Swift users;
// `TaskRegistryC` is the same core as Embedded Swift behind a C ABI, for everyone else.

import PackageDescription

/// Warnings are errors in the project's own checks (scripts/common.sh says so), and nobody else's concern: a
/// consumer may build with flags that warn of more.
let warnings: [SwiftSetting] =
  Context.environment["TASKREG_WARNINGS"] == "errors" ? [.treatAllWarnings(as: .error)] : []

/// Whether the C library and the command `taskreg` are in the manifest: for CMake, which sets TASKREG_C.
///
/// Whoever depends on the product `TrackedTasks` has no concern with their linker settings, which SwiftPM calls unsafe, nor
/// with pthread-stubs, for which it asks pkg-config.
let forC = Context.environment["TASKREG_C"] == "yes"

/// Everything but `tr_*` stays inside the library.
///
/// This is a matter of correctness: an Embedded object defines weak `swift_retain`,
/// `swift_allocObject`, … which, if exported, would take the place of the real runtime's in a host
/// that has one. See docs/design/0002.
let exportMap = "\(Context.packageDirectory)/Sources/TaskRegistryC/taskreg.map"

/// All symbols are found when a file is loaded, and what they are found in cannot be written then.
let hardened: [String] = [
  "-Xlinker", "-z", "-Xlinker", "relro",
  "-Xlinker", "-z", "-Xlinker", "now",
  "-Xlinker", "--gc-sections",
]

let productsForC: [Product] = [
  .library(name: "taskreg", type: .dynamic, targets: ["TaskRegistryC"]),
  // Installed as `taskreg`, a name that the library has here.
  .executable(name: "taskreg-tool", targets: ["TaskRegistryTool"]),
]

let targetsForC: [Target] = [
  // The one truth of the C API. `pthread-stubs` carries no code on Linux; it states the
  // dependency on POSIX threads where a system provides them apart from libc.
  .systemLibrary(
    name: "CTaskReg", path: "include", pkgConfig: "pthread-stubs",
    providers: [.apt(["libpthread-stubs0-dev"])]),
  .target(
    name: "TaskRegistryC", dependencies: ["CPlatform", "CTaskReg"],
    exclude: ["taskreg.map", ".swift-format"],
    swiftSettings: [.enableExperimentalFeature("Embedded")] + warnings,
    linkerSettings: [
      .unsafeFlags([
        "-Xlinker", "--version-script=\(exportMap)",
        "-Xlinker", "-soname=libtaskreg.so.0",
        "-Xlinker", "-z", "-Xlinker", "nodelete",
      ]),
      .unsafeFlags(hardened),
    ]),
  // The command `taskreg`: the core once more, with the functions that ask another process.
  .executableTarget(
    name: "TaskRegistryTool", dependencies: ["CPlatform", "CTaskReg"], path: "Sources/taskreg",
    swiftSettings: [
      .enableExperimentalFeature("Embedded"), .define("TASKREG_TOOL"),
    ] + warnings,
    linkerSettings: [.unsafeFlags(hardened)]),
]

let package = Package(
  name: "libtaskreg",
  products: [.library(name: "TrackedTasks", targets: ["TrackedTasks"])]
    + (forC ? productsForC : []),
  targets: [
    // static inline shims for what Swift cannot import; no code of its own.
    .target(name: "CPlatform"),
    .target(
      name: "TrackedTasks", dependencies: ["CPlatform"],
      swiftSettings: warnings),
    .testTarget(
      name: "TrackedTasksTests", dependencies: ["TrackedTasks", "CPlatform"],
      swiftSettings: warnings),
  ] + (forC ? targetsForC : []),
  swiftLanguageModes: [.v6]
)
