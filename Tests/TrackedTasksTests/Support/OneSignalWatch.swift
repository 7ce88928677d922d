import Testing

/// The suites that use the process's one signal watch, one after the other.
@Suite(.serialized) enum OneSignalWatch {}
