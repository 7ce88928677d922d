// swift-tools-version: 6.3
// A consumer of the Swift API that calls every public function of it, for scripts/consumer. Not part of the library.

import PackageDescription

let package = Package(
  name: "consumer",
  dependencies: [.package(name: "libtaskreg", path: "../..")],
  targets: [
    .testTarget(
      name: "ConsumerTests",
      dependencies: [.product(name: "TrackedTasks", package: "libtaskreg")],
      swiftSettings: [
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("ExistentialAny"),
        .strictMemorySafety(), .treatAllWarnings(as: .error),
      ])
  ],
  swiftLanguageModes: [.v6]
)
