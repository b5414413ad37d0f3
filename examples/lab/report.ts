/** The lab's report: one line a claim, printed as it is decided, with the time it took; and the verdict at the end. */
import { sleep } from './shell.ts';

/** Collects lines and prints them at once. */
export interface Report {
  /** Opens a chapter. */
  chapter(title: string): void;
  /** Decides one claim: `check` returns what was seen, or throws with what was seen instead. */
  claim(text: string, check: () => Promise<string>): Promise<boolean>;
  /** A claim about what the network comes to: tried again for `withinMs` until it holds. */
  comesTrue(text: string, withinMs: number, check: () => Promise<string>): Promise<boolean>;
  /** Says what is going on. */
  note(text: string): void;
  /** Prints the verdict; the number of failed claims. */
  end(): number;
}

/** A report that writes to standard output. */
export function createReport(): Report {
  const started = performance.now();
  // the guest's console is a terminal even where its output goes to a file: whoever booted it knows
  const tty = process.env['FORCE_COLOR'] !== undefined;
  const paint = (code: number, text: string): string => (tty ? `\u001b[${code}m${text}\u001b[0m` : text);
  const clock = (): string => `${((performance.now() - started) / 1000).toFixed(1).padStart(6)}s`;
  let passed = 0;
  const failed: string[] = [];
  const report: Report = {
    comesTrue: (text, withinMs, check) =>
      report.claim(text, async () => {
        const deadline = performance.now() + withinMs;
        for (;;) {
          try {
            return await check();
          } catch (error) {
            if (performance.now() > deadline) throw error;
            await sleep(250);
          }
        }
      }),
    chapter: (title) => {
      console.log(`\n${clock()}  ${paint(1, title)}`);
    },
    note: (text) => {
      console.log(`${clock()}    ${paint(2, text)}`);
    },
    claim: async (text, check) => {
      const began = performance.now();
      try {
        const seen = await check();
        passed++;
        const took = `${Math.round(performance.now() - began)} ms`;
        console.log(`${clock()}  ${paint(32, 'ok  ')} ${text}: ${seen} ${paint(2, `[${took}]`)}`);
        return true;
      } catch (error) {
        failed.push(text);
        console.log(
          `${clock()}  ${paint(31, 'FAIL')} ${text}: ${error instanceof Error ? error.message : String(error)}`,
        );
        return false;
      }
    },
    end: () => {
      console.log(`\n${clock()}  ${passed} held, ${failed.length} failed`);
      for (const text of failed) console.log(`          failed: ${text}`);
      return failed.length;
    },
  };
  return report;
}
