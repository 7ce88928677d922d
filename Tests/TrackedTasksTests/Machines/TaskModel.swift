@testable import TrackedTasks

/// The state of one task, written in plain fields: what `TaskWord` is compared with.
struct TaskModel: Hashable {
  enum Life: Int {
    case starting = 1
    case running = 2
    case ending = 3
    case ended = 4
    case free = 5
  }
  var life = Life.starting
  /// 0, 1 or 2.
  var level: UInt32 = 0
  var overdue = false
  var awaited = false
  var message = false
  var optionalState = false
  var how = TaskWord.Ending.none
  var cleanup: Bool
  /// The worker's reference, handles and pins.
  var references: UInt64
  var holdsRegistry: Bool

  var isLive: Bool { life == .starting || life == .running }
  /// The references that threads other than the worker may release.
  var givable: UInt64 { references - (isLive || life == .ending ? 1 : 0) }

  func matches(_ word: TaskWord) -> Bool {
    let stage: TaskWord.Stage =
      switch life {
      case .starting: .starting
      case .running: .running
      case .ending: .ending
      case .ended: .ended
      case .free: .free
      }
    return word.stage == stage && word.level.rawValue == level
      && word.isCancelRequested == (level != 0) && word.isOverdue == overdue
      && word.isAwaited == awaited && word.isCleanup == cleanup && word.hasMessage == message
      && word.hasOptionalState == optionalState
      && word.ending == how && word.isLive == isLive && word.references == references
      && word.holdsRegistry == holdsRegistry
  }

  func with(_ change: (inout TaskModel) -> Void) -> TaskModel {
    var copy = self
    change(&copy)
    return copy
  }

  /// The model with one reference less; free when it was the last of an ended task (W4).
  func givingBack(_ change: (inout TaskModel) -> Void = { _ in }) -> TaskModel {
    let next = with {
      change(&$0)
      $0.references -= 1
    }
    if next.life != .ended || next.references > 0 { return next }
    return TaskModel(life: .free, level: level, cleanup: false, references: 0, holdsRegistry: false)
  }
}

/// One transition, of the word and of the model.
struct TaskStep: Sendable {
  typealias OfWord = @Sendable (TaskWord) -> TaskWord?
  typealias OfModel = @Sendable (TaskModel) -> TaskModel?

  let name: String
  let word: OfWord
  let model: OfModel
  /// Whether the transition may be requested, where it does not return nil by itself.
  let mayBeAsked: @Sendable (TaskModel) -> Bool

  init(
    _ name: String, _ word: @escaping OfWord, _ model: @escaping OfModel,
    mayBeAsked: @escaping @Sendable (TaskModel) -> Bool = { _ in true }
  ) {
    self.name = name
    self.word = word
    self.model = model
    self.mayBeAsked = mayBeAsked
  }

  static let all = life + requests + references + messages + optionalState + ends

  private static let life = [
    TaskStep(
      "entered", { $0.entered() },
      { model in model.life == .starting ? model.with { $0.life = .running } : nil }),
    TaskStep(
      "rests", { $0.rests() },
      { model in
        model.life == .running && model.level == 0 ? model.with { $0.life = .starting } : nil
      }),
    TaskStep(
      "ended", { $0.ended() },
      { model in model.life == .ending ? model.givingBack { $0.life = .ended } : nil }),
    TaskStep(
      "withdrawn", { $0.withdrawn() },
      { model in model.life == .starting ? model.givingBack { $0.life = .ended } : nil }),
  ]

  private static let requests = [
    TaskStep(
      "asked(drain)", { $0.asked(.drain) },
      { model in model.isLive && model.level == 0 ? model.with { $0.level = 1 } : nil }),
    TaskStep(
      "asked(abort)", { $0.asked(.abort) },
      { model in model.isLive && model.level < 2 ? model.with { $0.level = 2 } : nil }),
    TaskStep(
      "overdue", { $0.overdue() },
      { model in
        guard model.isLive else { return nil }
        return model.with {
          $0.level = 2
          $0.overdue = true
        }
      }),
    TaskStep(
      "awaited", { $0.awaited() },
      { model in
        model.isLive || model.life == .ending ? model.with { $0.awaited = true } : nil
      }),
  ]

  /// Three references show all that more would.
  private static let references = [
    TaskStep(
      "pinned", { $0.pinned() },
      { model in model.isLive ? model.with { $0.references += 1 } : nil },
      mayBeAsked: { !$0.isLive || $0.references < 3 }),
    TaskStep(
      "handleAdded", { $0.handleAdded() },
      { model in
        model.with {
          $0.references += 1
          $0.holdsRegistry = true
        }
      }, mayBeAsked: { $0.references > 0 && $0.references < ($0.life == .ended ? 2 : 3) }),
    TaskStep(
      "unpinned", { $0.unpinned() }, { $0.givingBack() }, mayBeAsked: { $0.givable > 0 }),
  ]

  private static let messages = [true, false].map { present in
    TaskStep(
      "messageLeft(\(present))", { $0.messageLeft(present) },
      { model in model.life == .running ? model.with { $0.message = present } : nil })
  }

  private static let optionalState = [
    TaskStep(
      "optionalStateAdded", { $0.optionalStateAdded() },
      { model in model.life == .running ? model.with { $0.optionalState = true } : nil })
  ]

  private static let ends = [TaskWord.Ending.returned, .failed, .exited].map { how in
    TaskStep(
      "ends(\(how))", { $0.ends(how) },
      { model in
        guard model.life == .running else { return nil }
        return model.with {
          $0.life = .ending
          $0.how = how
        }
      })
  }
}
