/**
 * Field selectors, `spec.nodeName=worker-1,metadata.name!=x`, for any field whose value is plain.
 */
import { StatusError } from './errors.ts';

/** Compiles a field selector. Throws a 400 when it is none. */
export function parseFieldSelector(text: string): (object: unknown) => boolean {
  const terms = text
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const match = /^\s*([A-Za-z0-9_.-]+?)\s*(==|!=|=)\s*(.*?)\s*$/.exec(part);
      if (match === null) throw new StatusError(400, 'BadRequest', `invalid field selector: ${text}`);
      const [, path = '', operator, value = ''] = match;
      return { steps: path.split('.'), equal: operator !== '!=', value };
    });
  return (object) => terms.every(({ steps, equal, value }) => (fieldText(object, steps) === value) === equal);
}

function fieldText(object: unknown, steps: readonly string[]): string {
  let value: unknown = object;
  for (const step of steps) {
    if (typeof value !== 'object' || value === null) return '';
    value = (value as Record<string, unknown>)[step];
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
