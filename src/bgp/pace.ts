/**
 * How much to do at a time: as much as takes a wanted time, found out by doing.
 * Code that has just been loaded runs ten times slower than later, so no fixed amount is right for both.
 */

/** An amount that follows its cost. */
export interface Pace {
  /** What to do next. */
  readonly amount: number;
  /** The last of it took so many milliseconds. */
  took(ms: number): void;
}

/** Makes a {@link Pace} that begins with the least. */
export function createPace(least: number, most: number, wantedMs: number): Pace {
  let amount = least;
  return {
    get amount() {
      return amount;
    },
    took(ms) {
      if (ms > wantedMs) amount = Math.max(least, amount >> 1);
      else if (ms < wantedMs / 2) amount = Math.min(most, amount * 2);
    },
  };
}
