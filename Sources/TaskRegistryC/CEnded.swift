import CTaskReg

extension tr_ended_task: SizedStructure {
  static var firstSize: UInt32 { 240 }
  static var initialiser: StaticString { "TR_ENDED_TASK_INIT" }
}

/// Fills a structure of the caller's, whose size was accepted, with the facts of an ended task.
func store(_ facts: EndedFacts, in place: UnsafeMutablePointer<tr_ended_task>, size: UInt32) {
  fill(place, size: size) { task in
    task.pointee.size = size
    task.pointee.how = facts.how
    task.pointee.id = facts.id
    withUnsafeMutableBytes(of: &task.pointee.name) { bytes in
      for i in 0..<8 {
        bytes.storeBytes(of: facts.name.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
    task.pointee.kind = facts.kind
    task.pointee.code = facts.code
    task.pointee.spawned_at_ns = facts.spawnedAt
    task.pointee.ran_ns = facts.ran
    task.pointee.stop_ns = facts.stop
    withUnsafeMutableBytes(of: &task.pointee.group) { bytes in
      for i in 0..<16 {
        bytes.storeBytes(of: facts.path.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
  }
}
