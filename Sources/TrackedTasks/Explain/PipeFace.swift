import CPlatform

extension DescriptorFace {
  /// Up to which number descriptors are looked through for the other end of a pipe.
  private static var searched: Int32 { 4096 }

  /// A pipe, with the descriptor of this process at its other end; `path` says whether it has a
  /// name of its own.
  mutating func becomePipe(
    _ link: borrowing DescriptorLink, path: Bool, _ context: Context, _ budget: inout Int
  ) {
    let mode = context.mayAsk ? Self.mode(of: number) : -1
    var end = OtherEnd.notSearched
    if mode == O_RDONLY || mode == O_WRONLY {
      end = Self.otherEnd(of: link, number, mode, &budget)
    }
    become(.pipe) { text in
      text.append("pipe")
      if path {
        text.append(" ")
        text.append(path: link)
      }
      let verb: StaticString = mode == O_RDONLY ? ", written by " : ", read by "
      switch end {
      case .notSearched: break
      case .none:
        text.append(verb)
        text.append("no descriptor of this process below ")
        text.append(Self.searched)
      case .found(let other, let more):
        text.append(verb)
        text.append("this process's fd ")
        text.append(other)
        if more == 0 { return }
        text.append(" and ")
        text.append(more)
        text.append(more == 1 ? " other" : " others")
      }
      if !context.isOwn {
        text.append("; its thread has descriptors of its own")
      } else if case .notSearched = end {
        text.append("; who has the other end was not looked for")
      }
    }
  }

  private enum OtherEnd {
    case notSearched
    case none
    case found(Int32, more: Int)
  }

  /// Looks for descriptors of the calling thread's table that are the other end of a pipe, one end
  /// of which is `number` with `mode`, O_RDONLY or O_WRONLY.
  private static func otherEnd(
    of link: borrowing DescriptorLink, _ number: Int32, _ mode: Int32, _ budget: inout Int
  ) -> OtherEnd {
    if budget < Int(searched) { return .notSearched }
    budget -= Int(searched)
    var found: Int32 = -1
    var more = 0
    var other = DescriptorLink()
    for candidate in 0..<searched where candidate != number {
      let its = Self.mode(of: candidate)
      if its < 0 || its == mode { continue }
      other.read(candidate, ofThread: 0)
      if other != link { continue }
      if found < 0 { found = candidate } else { more += 1 }
    }
    return found < 0 ? .none : .found(found, more: more)
  }
}
