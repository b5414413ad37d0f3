/**
 * Structural equality of plain values.
 * What an object's projection does not show has not changed: node heartbeats and status noise end here instead of waking planners.
 */

/** Whether two plain JSON-like values are equal; shared parts cost nothing. */
export function equalValues(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return Number.isNaN(a) && Number.isNaN(b);
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let index = 0; index < a.length; index++) if (!equalValues(a[index], b[index])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  const one = a as Record<string, unknown>;
  const two = b as Record<string, unknown>;
  const keys = Object.keys(one);
  if (keys.length !== Object.keys(two).length) return false;
  for (const key of keys) if (!Object.hasOwn(two, key) || !equalValues(one[key], two[key])) return false;
  return true;
}
