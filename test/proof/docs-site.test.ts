/**
 * The built site in a browser: Debian's Chromium, driven by playwright-core, over docs-dist/ as any web server would give it.
 * Every page loads without an error on its console, every link leads somewhere, search finds things without a network, and pages are
 * readable on a phone and in the dark.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/doc-blocks.ts';

/** What is used of playwright-core, which only this test needs. */
interface Page {
  on(event: 'console', call: (message: { type(): string; text(): string }) => void): void;
  on(event: 'pageerror', call: (error: Error) => void): void;
  on(event: 'request', call: (request: { url(): string }) => void): void;
  goto(url: string, options?: object): Promise<unknown>;
  evaluate<T>(script: string): Promise<T>;
  keyboard: { press(key: string): Promise<void> };
  fill(selector: string, text: string): Promise<void>;
  click(selector: string): Promise<void>;
  waitForFunction(script: string): Promise<unknown>;
  screenshot(options: object): Promise<unknown>;
  close(): Promise<void>;
}
interface Browser {
  newPage(options?: object): Promise<Page>;
  close(): Promise<void>;
}

const site = join(root, 'docs-dist');
const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};
const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname));
  const file = join(site, path === '/' ? 'index.html' : path);
  if (existsSync(file) && extname(file) !== '') {
    response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream');
    response.end(readFileSync(file));
  } else response.writeHead(path === '/favicon.ico' ? 204 : 404).end();
});
let base = '';
let browser: Browser;

beforeAll(async () => {
  if (!existsSync(join(site, 'index.html'))) throw new Error('docs-dist/ is missing: run `npm run docs` first');
  if (!existsSync('/usr/bin/chromium'))
    throw new Error("/usr/bin/chromium is missing: install Debian's package chromium");
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const library: string = 'playwright-core';
  const { chromium } = (await import(library)) as { chromium: { launch(options: object): Promise<Browser> } };
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
});
afterAll(async () => {
  await browser.close();
  server.close();
});

const html = readdirSync(site, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.html'))
  .sort();

it('every page loads without an error, and asks nothing of another machine', async () => {
  const wrong: string[] = [];
  const waiting = [...html];
  // four tabs, each with a page after the other
  const visit = async (): Promise<void> => {
    const page = await browser.newPage();
    let now = '';
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') wrong.push(`${now}: ${message.text()}`);
    });
    page.on('pageerror', (error) => wrong.push(`${now}: ${error.message}`));
    page.on('request', (request) => {
      if (!request.url().startsWith(base) && !request.url().startsWith('data:'))
        wrong.push(`${now}: asks ${request.url()}`);
    });
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      now = next;
      await page.goto(`${base}/${now}`, { waitUntil: 'load' });
      if (!(await page.evaluate<boolean>('document.querySelector("h1") !== null'))) wrong.push(`${now}: no heading`);
    }
    await page.close();
  };
  await Promise.all([visit(), visit(), visit(), visit()]);
  expect(wrong).toEqual([]);
  expect(html.length).toBeGreaterThan(500);
  // 800 pages, a second each on a busy machine
}, 1_800_000);

it('no link leads nowhere', () => {
  const ids = new Map<string, Set<string>>();
  const text = new Map(html.map((file) => [file, readFileSync(join(site, file), 'utf8')]));
  for (const [file, body] of text)
    ids.set(file, new Set([...body.matchAll(/\b(?:id|name)="([^"]+)"/g)].map(([, id = '']) => id)));
  const dead: string[] = [];
  for (const [file, body] of text) {
    for (const [, target = ''] of body.matchAll(/\b(?:href|src)="([^"]+)"/g)) {
      if (/^(https?:|data:|mailto:)/.test(target)) continue;
      const [path = '', anchor = ''] = target.replaceAll('&amp;', '&').split('#');
      const at = path === '' ? file : normalize(join(file, '..', decodeURIComponent(path)));
      if (!existsSync(join(site, at))) dead.push(`${file}: ${target}`);
      else if (anchor !== '' && at.endsWith('.html') && !ids.get(at)?.has(decodeURIComponent(anchor)))
        dead.push(`${file}: ${target}`);
    }
  }
  expect(dead).toEqual([]);
});

it('search finds createSpeaker', async () => {
  const page = await browser.newPage();
  await page.goto(`${base}/index.html`, { waitUntil: 'load' });
  await page.click('#tsd-search-trigger');
  await page.fill('#tsd-search-input', 'createSpeaker');
  await page.waitForFunction(
    'document.querySelector("#tsd-search-results li a")?.textContent.includes("createSpeaker") === true',
  );
  const first = await page.evaluate<string>('document.querySelector("#tsd-search-results li a").href');
  expect(first).toMatch(/functions\/bgp\.createSpeaker\.html$/);
  await page.close();
});

it.each(['index.html', 'documents/Concepts.html', 'functions/bgp.createSpeaker.html'])(
  '%s is readable on a phone and in the dark',
  async (file) => {
    const page = await browser.newPage({
      viewport: { width: 390, height: 844 },
      colorScheme: 'dark',
      isMobile: true,
      hasTouch: true,
    });
    await page.goto(`${base}/${file}`, { waitUntil: 'load' });
    const seen = await page.evaluate<{ wide: number; size: number; contrast: number }>(`(() => {
      const light = (color) => {
        const part = color.match(/[\\d.]+/g).slice(0, 3).map((n) => n / 255).map((n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
        return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
      };
      const text = getComputedStyle(document.querySelector('.col-content p, .col-content'));
      const [a, b] = [light(text.color), light(getComputedStyle(document.body).backgroundColor)].sort((x, y) => y - x);
      return { wide: document.documentElement.scrollWidth, size: parseFloat(text.fontSize), contrast: (a + 0.05) / (b + 0.05) };
    })()`);
    // nothing is wider than the screen; text is no smaller than 14 px; contrast as WCAG AA asks for
    expect(seen.wide).toBeLessThanOrEqual(390);
    expect(seen.size).toBeGreaterThanOrEqual(14);
    expect(seen.contrast).toBeGreaterThanOrEqual(4.5);
    await page.screenshot({ path: join(root, '.cache', `site-${file.replaceAll('/', '-')}.png`) });
    await page.close();
  },
);
