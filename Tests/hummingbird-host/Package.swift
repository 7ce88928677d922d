// swift-tools-version: 6.3
// A web server of Hummingbird's beside a registry, for scripts/adapters --hummingbird. Not part of the library.

import PackageDescription

let package = Package(
  name: "hummingbird-host",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(name: "libtaskreg", path: "../.."),
    .package(name: "Adapters", path: "../../Adapters"),
    .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.0.0"),
  ],
  targets: [
    .executableTarget(
      name: "HummingbirdHost",
      dependencies: [
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "TrackedTasks", package: "libtaskreg"),
        .product(name: "TrackedTasksLogging", package: "Adapters"),
        .product(name: "TrackedTasksServiceLifecycle", package: "Adapters"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
