/**
 * The talk with `ip -force -batch -`, which says nothing of lines that succeed and whose process ends at a line it cannot read.
 * Behind each line goes a word that ip does not know: its complaint, with the line's number, is the receipt for the line before.
 * So every line is known to be done, refused with its own message, or never reached. Pure.
 */

/** Word that no object of ip begins with. */
const RECEIPT = 'receipt';

/** Beginning of a line that belongs into a process of `ip -6`. */
export const SIX = '-6 ';

/** Lines by the process that they belong into, each process its own order: those without a family first. */
export function splitFamilies(
  lines: readonly string[],
): readonly (readonly [args: readonly string[], lines: readonly string[]])[] {
  const six = lines.filter((line) => line.startsWith(SIX));
  const any = six.length === 0 ? lines : lines.filter((line) => !line.startsWith(SIX));
  return [[[], any] as const, [['-6'], six] as const].filter(([, part]) => part.length > 0);
}

/** What became of one line. */
export interface LineResult {
  /** Place in the batch, counted from 0. */
  readonly index: number;
  /** Why it was refused; absent when it was done. */
  readonly message?: string;
}

/** Lines as they are sent, each with its receipt behind it. */
export function frameBatch(lines: readonly string[]): string {
  return lines.map((line) => `${line.replace(/^-6 /, '').replace(/[\n\r]/g, ' ')}\n${RECEIPT}\n`).join('');
}

/** Follows the stderr of one process. */
export interface BatchReader {
  /** Takes text as it comes; returns what it says of lines, in order. */
  push(text: string): LineResult[];
  /** What was said since the last receipt: the reason, when the process has ended. */
  readonly tail: string;
}

/** Makes a reader for a process that has just started; line numbers count from its start. */
export function createBatchReader(): BatchReader {
  let buffer = '';
  let refusal: string | undefined;
  return {
    get tail() {
      return buffer.trim();
    },
    push(text) {
      buffer += text;
      const results: LineResult[] = [];
      const pattern = /Command failed [^\s:]*:(\d+)\n/g;
      let from = 0;
      for (let match = pattern.exec(buffer); match !== null; match = pattern.exec(buffer)) {
        const line = Number(match[1]);
        if (line % 2 === 1) refusal = buffer.slice(from, match.index).trim();
        else {
          results.push({ index: line / 2 - 1, ...(refusal === undefined ? {} : { message: refusal }) });
          refusal = undefined;
        }
        from = pattern.lastIndex;
      }
      buffer = buffer.slice(from);
      return results;
    },
  };
}
