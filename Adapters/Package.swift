// swift-tools-version: 6.3
// TrackedTasks beside the packages that servers in Swift are made of. It is a package of its own, so that who uses
// TrackedTasks alone resolves and builds none of them.

import PackageDescription

let package = Package(
  name: "libtaskreg-adapters",
  products: [
    .library(name: "TrackedTasksServiceLifecycle", targets: ["TrackedTasksServiceLifecycle"]),
    .library(name: "TrackedTasksLogging", targets: ["TrackedTasksLogging"]),
    .library(name: "TrackedTasksMetrics", targets: ["TrackedTasksMetrics"]),
    .library(name: "TrackedTasksExecutor", targets: ["TrackedTasksExecutor"]),
  ],
  dependencies: [
    .package(name: "libtaskreg", path: ".."),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-metrics.git", from: "2.5.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.6.0"),
  ],
  targets: [
    .target(
      name: "TrackedTasksServiceLifecycle",
      dependencies: [
        .product(name: "TrackedTasks", package: "libtaskreg"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    .target(
      name: "TrackedTasksLogging",
      dependencies: [
        .product(name: "TrackedTasks", package: "libtaskreg"),
        .product(name: "Logging", package: "swift-log"),
      ]),
    .target(
      name: "TrackedTasksMetrics",
      dependencies: [
        .product(name: "TrackedTasks", package: "libtaskreg"),
        .product(name: "Metrics", package: "swift-metrics"),
      ]),
    .target(
      name: "TrackedTasksExecutor",
      dependencies: [.product(name: "TrackedTasks", package: "libtaskreg")]),
    // A service in a ServiceGroup, which the tests start, put under load and send signals.
    .executableTarget(
      name: "AdapterHost",
      dependencies: [
        "TrackedTasksServiceLifecycle", "TrackedTasksLogging", "TrackedTasksExecutor",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      path: "Tests/AdapterHost"),
    .testTarget(
      name: "AdapterTests",
      dependencies: [
        "AdapterHost", "TrackedTasksServiceLifecycle", "TrackedTasksLogging",
        "TrackedTasksMetrics", "TrackedTasksExecutor",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "MetricsTestKit", package: "swift-metrics"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
