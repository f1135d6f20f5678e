/** A file's metadata as fsutil sends it (`github.com/tonistiigi/fsutil/types`). */
import type { BigIntStats } from "node:fs"

/** Bits of Go's `fs.FileMode`, which is what the wire carries, beside the nine permission bits. */
export const goMode = {
  directory: 0x8000_0000,
  symlink: 0x0800_0000,
  device: 0x0400_0000,
  namedPipe: 0x0200_0000,
  socket: 0x0100_0000,
  setuid: 0x0080_0000,
  setgid: 0x0040_0000,
  characterDevice: 0x0020_0000,
  sticky: 0x0010_0000,
  irregular: 0x0008_0000
} as const

const typeMask =
  goMode.directory |
  goMode.symlink |
  goMode.device |
  goMode.namedPipe |
  goMode.socket |
  goMode.characterDevice |
  goMode.irregular

/** One entry of a build context. */
export interface FileStat {
  /** Relative to the context's root, `/` between its parts. */
  readonly path: string
  /** Go's mode bits. */
  readonly mode: number
  readonly size: number
  /** Nanoseconds since the epoch. */
  readonly modifiedNs: bigint
  /** Where a symlink points to, or the first path of a hard link's file; else empty. */
  readonly linkName: string
  readonly deviceMajor: number
  readonly deviceMinor: number
}

/** The receiver may ask for the content of a regular file (the same test on both sides). */
export const isRegular = (mode: number): boolean => (mode & typeMask) === 0

/** Unix mode bits as Go's. A socket counts as a regular file, because fsutil clears that bit. */
export const toGoMode = (unixMode: number): number => {
  let mode = unixMode & 0o777
  switch (unixMode & 0o170000) {
    case 0o040000:
      mode += goMode.directory
      break
    case 0o120000:
      mode += goMode.symlink
      break
    case 0o010000:
      mode += goMode.namedPipe
      break
    case 0o060000:
      mode += goMode.device
      break
    case 0o020000:
      mode += goMode.device + goMode.characterDevice
      break
  }
  if (unixMode & 0o4000) mode += goMode.setuid
  if (unixMode & 0o2000) mode += goMode.setgid
  if (unixMode & 0o1000) mode += goMode.sticky
  return mode
}

/** Linux device numbers. */
export const deviceOf = (stats: BigIntStats): readonly [major: number, minor: number] => {
  if (!stats.isBlockDevice() && !stats.isCharacterDevice()) return [0, 0]
  const device = Number(stats.rdev)
  return [(device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00)]
}
