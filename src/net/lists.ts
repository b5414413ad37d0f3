/**
 * Lists that are kept by the thousand and nearly always hold one item. V8 gives a list that grew by `push`, or came from a spread, room
 * for sixteen more; a literal and `concat` are as large as what they hold.
 */

/** The list with one more item at its end; neither has room to spare. */
export function withItem<Item>(list: readonly Item[], item: Item): readonly Item[] {
  return list.length === 0 ? [item] : list.concat([item]);
}
