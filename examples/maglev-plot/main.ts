/**
 * Maglev judged as its paper does: how even the shares are, and what share of flows moves when one of n backends leaves, beside what
 * must move (1/n). Prints an SVG: `node main.ts >maglev.svg`. The numbers of the table go to standard error.
 */
import { maglevBalance, maglevDisruption, maglevTable } from 'kube-router-sdk/ipvs';

const size = 65537;
const counts = [2, 3, 5, 10, 20, 50, 100, 200, 500];
const rows = counts.map((n) => {
  const backends = Array.from({ length: n }, (_, i) => ({ name: `10.1.${i >> 8}.${i & 255}` }));
  const table = maglevTable(backends, { size });
  const { changed, needless } = maglevDisruption(table, maglevTable(backends.slice(1), { size }));
  const { maxOverMean, minOverMean } = maglevBalance(table);
  return { n, maxOverMean, minOverMean, changed, needless, must: 1 / n };
});
console.error('backends  most/mean  least/mean  moved     of these needless');
for (const { n, maxOverMean, minOverMean, changed, needless } of rows) {
  const cells = [maxOverMean.toFixed(4), minOverMean.toFixed(4), `${(100 * changed).toFixed(2)} %`];
  console.error(
    `${String(n).padEnd(10)}${cells.map((cell) => cell.padEnd(11)).join('')}${(100 * needless).toFixed(2)} %`,
  );
}

const x = (index: number): number => 60 + (index * 500) / (counts.length - 1);
const line = (values: readonly number[], y: (value: number) => number, style: string): string =>
  `<polyline class="${style}" points="${values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(' ')}"/>`;
const balance = (value: number): number => 170 - ((value - 0.99) / 0.02) * 130;
const moved = (value: number): number => 380 - value * 2 * 130;
const axis = (labels: readonly number[], y: (value: number) => number, unit: (value: number) => string): string =>
  labels
    .map(
      (value) =>
        `<path class="grid" d="M60 ${y(value)}H560"/><text x="52" y="${y(value) + 4}" text-anchor="end">${unit(value)}</text>`,
    )
    .join('');

console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 430" font-family="system-ui,sans-serif" font-size="12">
<style>svg{background:#fff}text{fill:#333}.grid{stroke:#ddd}polyline{fill:none;stroke-width:2}.a{stroke:#0b62a4}.b{stroke:#c2410c}.c{stroke:#888;stroke-dasharray:4 4}
@media (prefers-color-scheme:dark){svg{background:#161d26}text{fill:#e8eef5}.grid{stroke:#344150}.a{stroke:#6cb6ff}.b{stroke:#ff9e64}}</style>
<text x="60" y="24">Share of the largest (blue) and smallest (red) backend, against the mean; ${size} entries</text>
${axis([0.99, 1, 1.01], balance, (value) => value.toFixed(2))}
${line(
  rows.map(({ maxOverMean }) => maxOverMean),
  balance,
  'a',
)}${line(
  rows.map(({ minOverMean }) => minOverMean),
  balance,
  'b',
)}
<text x="60" y="234">Flows that move when one backend leaves (blue), and what must move (grey)</text>
${axis([0, 0.25, 0.5], moved, (value) => `${value * 100} %`)}
${line(
  rows.map(({ changed }) => changed),
  moved,
  'a',
)}${line(
  rows.map(({ must }) => must),
  moved,
  'c',
)}
${counts.map((n, i) => `<text x="${x(i).toFixed(1)}" y="402" text-anchor="middle">${n}</text>`).join('')}
<text x="310" y="422" text-anchor="middle">backends</text>
</svg>`);
