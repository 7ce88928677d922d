// swift-tools-version: 6.2
// The benchmark program of the Swift API: a package of its own, so that it uses the library as any
// Swift program does. benchmarks/CMakeLists.txt builds it.

import PackageDescription

let package = Package(
  name: "bench-swift",
  dependencies: [.package(name: "libtaskreg", path: "../..")],
  targets: [
    .executableTarget(
      name: "bench-swift", dependencies: [.product(name: "TrackedTasks", package: "libtaskreg")])
  ],
  swiftLanguageModes: [.v6]
)
