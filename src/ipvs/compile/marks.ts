/**
 * Firewall marks of services that cannot be told apart by address and port alone: DSR, and in-cluster clients of a Local VIP.
 * A mark is kept for as long as its owner lives and over restarts (the kernel's own sets remember it); two never share one.
 * Pure bookkeeping.
 */

/** Bit that sends a packet to the table of marked packets. */
export const DSR_BIT = 0x2000;
/** Further bit of DSR services that travel in UDP: {@link FOU_MARK} without the bit above. */
export const FOU_BIT = 0x1000;
/** Marks of in-cluster clients: 1 to this. */
export const MARK_COUNT = 0x1fff;

/** Gives out marks by owner. */
export interface MarkAllocator {
  /** The owner's mark, a new one when it has none; undefined when all are taken. */
  take(owner: string): number | undefined;
  release(owner: string): void;
  /** Owner to mark. */
  readonly taken: ReadonlyMap<string, number>;
}

/** FNV-1a, so that a mark is mostly the same on every node and after every reboot. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return value;
}

/** Makes a {@link MarkAllocator}; `bit` is set in every mark, the rest is 1 to `count`, `kept` are marks found in the kernel. */
export function createMarkAllocator(
  bit: number,
  kept: ReadonlyMap<string, number> = new Map(),
  count = MARK_COUNT,
): MarkAllocator {
  const taken = new Map<string, number>();
  const owners = new Map<number, string>();
  const remembered = new Map<string, number>();
  for (const [owner, mark] of kept) {
    const valid = (mark & bit) === bit && (mark & ~bit) >= 1 && (mark & ~bit) <= count;
    if (!valid || owners.has(mark)) continue;
    owners.set(mark, owner);
    remembered.set(owner, mark);
  }
  return {
    taken,
    take(owner) {
      const known = taken.get(owner) ?? remembered.get(owner);
      if (known !== undefined) {
        taken.set(owner, known);
        return known;
      }
      if (owners.size >= count) return undefined;
      let index = (hash(owner) % count) + 1;
      while (owners.has(index | bit)) index = (index % count) + 1;
      const mark = index | bit;
      owners.set(mark, owner);
      taken.set(owner, mark);
      return mark;
    },
    release(owner) {
      const mark = taken.get(owner);
      if (mark === undefined) return;
      taken.delete(owner);
      remembered.delete(owner);
      owners.delete(mark);
    },
  };
}
