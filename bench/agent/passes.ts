/**
 * From the log of a start: how long the first passes of the blocks took, and for how much of it one of their tools was running.
 */

/** Milliseconds, each pass's added up. */
export interface FirstPasses {
  readonly ms: number;
  /** Of these, while at least one command was under way. */
  readonly toolsMs: number;
}

interface Line {
  readonly time: string;
  readonly msg?: string;
  readonly block?: string;
  readonly durationMs?: number;
  /** Of a command. */
  readonly ms?: number;
}

type Span = readonly [from: number, to: number];

function parse(text: string): Line[] {
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as Line];
    } catch {
      // Not a line of the log.
      return [];
    }
  });
}

/** How much of `within` the spans cover, overlaps counted once. */
function covered(spans: readonly Span[], [begin, end]: Span): number {
  let total = 0;
  let reached = begin;
  for (const [from, to] of spans) {
    const start = Math.max(from, reached);
    const stop = Math.min(to, end);
    if (stop > start) total += stop - start;
    reached = Math.max(reached, stop);
  }
  return total;
}

/** Reads the log of an agent that tells of every command (`-v3`). */
export function firstPasses(log: string): FirstPasses {
  const lines = parse(log);
  const span = ({ time }: Line, ms: number): Span => [Date.parse(time) - ms, Date.parse(time)];
  const commands = lines
    .flatMap((line) => (line.msg === 'command' && line.ms !== undefined ? [span(line, line.ms)] : []))
    .sort(([a], [b]) => a - b);
  const passes = new Map<string, Span>();
  for (const line of lines) {
    const { block, durationMs } = line;
    if (block !== undefined && durationMs !== undefined && !passes.has(block))
      passes.set(block, span(line, durationMs));
  }
  const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0);
  return {
    ms: sum([...passes.values()].map(([from, to]) => to - from)),
    toolsMs: sum([...passes.values()].map((pass) => covered(commands, pass))),
  };
}
