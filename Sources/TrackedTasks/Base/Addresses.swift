/// The address of a value that stays where it is, such as an atomic or a structure of these.
///
/// A value that can be copied may be copied for the call; so this is for types that cannot.
func addressOf<Value: ~Copyable>(_ value: borrowing Value) -> UInt {
  withUnsafePointer(to: value) { UInt(bitPattern: $0) }
}
