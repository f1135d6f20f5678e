/** Generation: the place of a push in the order of its service's deploys, in milliseconds since the epoch. */

/** How far a burst may run ahead of the clock. */
const maxAheadMs = 1000

/**
 * Times of arrival, each later than the one before: two pushes of one millisecond must not count as one. (Of two processes
 * they may; the commit that is then left out is found by comparing branches.)
 */
export const arrivals = (): ((now: number) => number) => {
  let last = 0
  return (now) => {
    last = Math.max(now, Math.min(last + 1, now + maxAheadMs))
    return last
  }
}

/**
 * `pushedAt`: the second of the push by the forge's clock. A push that comes late, or is sent again, keeps its place: it
 * does not overtake what was pushed after it. A clock that is ahead of ours cannot put a push into our future, where it
 * would hold up all that follow.
 *
 * Two pushes of one second that both come late share a place, and count as one. That loses nothing: a deploy takes the
 * commit which its branch has when it begins, and both had been pushed before either arrived.
 */
export const generationOf = (receivedAt: number, pushedAt: number | undefined): number =>
  pushedAt === undefined ? receivedAt : Math.min(receivedAt, pushedAt * 1000 + 999)
