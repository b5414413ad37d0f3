/**
 * Typed-array columns that grow.
 * The RIB keeps numbers in columns rather than an object a route: a million routes are a few dozen MiB, and the garbage collector
 * never walks them. Growth is by half as much again, so a growing table copies each cell about twice.
 * Stands under every table of the RIB.
 */

/**
 * First capacity of a column. Columns that are filled together begin with different phases (0 to 11) and grow each by itself, so that they
 * do so at different moments: a table of a million rows never stops to copy them all at once.
 */
export function startOf(phase: number): number {
  return Math.ceil(1024 * 1.5 ** (phase / 12));
}

/** Next capacity that holds `need` cells. */
export function capacityFor(current: number, need: number): number {
  let capacity = current < 1024 ? 1024 : current;
  while (capacity < need) capacity = Math.ceil(capacity * 1.5);
  return capacity;
}

/** Copies a column into a larger one, new cells holding `fill`. */
export function growInt32(column: Int32Array, capacity: number, fill: number): Int32Array {
  const next = new Int32Array(capacity);
  next.set(column);
  if (fill !== 0) next.fill(fill, column.length);
  return next;
}

/** Copies a column into a larger one. */
export function growUint32(column: Uint32Array, capacity: number): Uint32Array {
  const next = new Uint32Array(capacity);
  next.set(column);
  return next;
}

/** Copies a column into a larger one. */
export function growUint16(column: Uint16Array, capacity: number): Uint16Array {
  const next = new Uint16Array(capacity);
  next.set(column);
  return next;
}

/** Copies a column into a larger one. */
export function growUint8(column: Uint8Array, capacity: number): Uint8Array {
  const next = new Uint8Array(capacity);
  next.set(column);
  return next;
}

/** Ids put aside, last in first out. */
export interface IdStack {
  cells: Int32Array;
  count: number;
}

/** An empty {@link IdStack}. */
export function createIdStack(): IdStack {
  return { cells: new Int32Array(64), count: 0 };
}

/** Puts an id aside. */
export function pushId(stack: IdStack, id: number): void {
  if (stack.count === stack.cells.length)
    stack.cells = growInt32(stack.cells, capacityFor(stack.cells.length, stack.count + 1), 0);
  stack.cells[stack.count++] = id;
}

/** Takes the last id back; -1 none. */
export function popId(stack: IdStack): number {
  return stack.count === 0 ? -1 : stack.cells[--stack.count]!;
}
