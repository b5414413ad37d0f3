/**
 * The built site in a browser: Debian's Chromium, driven by playwright-core, over docs-dist/ as any web server would give it.
 * Every page loads without an error on its console, every link leads somewhere, search finds things without a network, and pages are
 * readable on a phone and in the dark.
 */
import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs';
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
  emulateMedia(options: object): Promise<void>;
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
    // as a web server would: scripts and styles are read and compiled once, not a thousand times
    if (extname(file) !== '.html') response.setHeader('cache-control', 'max-age=3600');
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

it('search works from the disk, without any server', async () => {
  const page = await browser.newPage();
  await page.goto(`file://${site}/index.html`, { waitUntil: 'load' });
  await page.click('#tsd-search-trigger');
  await page.fill('#tsd-search-input', 'createSpeaker');
  await page.waitForFunction(
    'document.querySelector("#tsd-search-results li a")?.textContent.includes("createSpeaker") === true',
  );
  await page.fill('#tsd-search-input', 'Security model');
  await page.waitForFunction(
    'document.querySelector("#tsd-search-results li a")?.href.endsWith("/documents/Security_model.html") === true',
  );
  await page.close();
});

/** What a look at a page tells. */
interface Seen {
  readonly wide: number;
  readonly small: readonly string[];
  readonly faint: readonly string[];
  readonly broken: readonly string[];
  readonly images: number;
}

/** What a reader with a phone may stumble over; runs in the page. */
const look = `(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const part = numbers(color).slice(0, 3).map((n) => n / 255).map((n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const ground = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      const alpha = numbers(color)[3] ?? 1;
      if (alpha > 0.9) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const seen = { wide: document.documentElement.scrollWidth, small: [], faint: [], broken: [], images: 0 };
  for (const element of document.querySelectorAll('.col-content :is(h1, h2, h3, p, li, td, th, a, code, pre span)')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '');
    const box = element.getBoundingClientRect();
    if (!own || box.width === 0 || box.height === 0) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(style.color), light(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const what = element.tagName + ' ' + element.textContent.trim().slice(0, 30);
    // WCAG AA: 4.5, and 3 for large text
    if (contrast < (size >= 24 ? 3 : 4.5)) seen.faint.push(what + ' ' + contrast.toFixed(2) + ' ' + style.color);
    if (size < 12) seen.small.push(what + ' ' + size);
  }
  for (const image of document.querySelectorAll('.col-content img')) {
    seen.images++;
    if (!image.complete || image.naturalWidth === 0 || image.getBoundingClientRect().width > 390) seen.broken.push(image.src);
  }
  return seen;
})()`;

const read = [
  'index.html',
  ...html.filter((file) => file.startsWith('documents/')),
  'modules/bgp.html',
  'functions/bgp.createSpeaker.html',
  'interfaces/kernel.Target.html',
];
it('every page of prose is readable on a phone, in the dark and by daylight', async () => {
  const wrong: string[] = [];
  const waiting = [...read];
  let images = 0;
  const visit = async (): Promise<void> => {
    const page = await browser.newPage({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
    for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
      await page.goto(`${base}/${file}`, { waitUntil: 'load' });
      for (const colorScheme of ['dark', 'light']) {
        await page.emulateMedia({ colorScheme });
        const seen = await page.evaluate<Seen>(look);
        images += seen.images;
        const at = `${file}, ${colorScheme}`;
        if (seen.wide > 390) wrong.push(`${at}: ${seen.wide} px wide, scrolls sideways`);
        const { small, faint, broken } = seen;
        for (const [name, list] of Object.entries({ small, faint, broken }))
          if (list.length > 0)
            wrong.push(`${at}: ${list.length} ${name}: ${[...new Set(list)].slice(0, 3).join('; ')}`);
        if (file === 'documents/Concepts.html')
          await page.screenshot({ path: join(root, '.cache', `site-concepts-${colorScheme}.png`), fullPage: true });
      }
    }
    await page.close();
  };
  await Promise.all([visit(), visit()]);
  expect(wrong).toEqual([]);
  expect(images).toBeGreaterThan(30);
}, 600_000);

/** Text of a drawing against what it stands on; runs in a page that is the drawing. */
const lookAtDrawing = `(() => {
  const light = (color) => {
    const part = color.match(/[\\d.]+/g).slice(0, 3).map((n) => n / 255).map((n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const ground = getComputedStyle(document.documentElement).backgroundColor;
  const boxes = [...document.querySelectorAll('rect')];
  const worst = { contrast: 99, text: '', ground };
  for (const text of document.querySelectorAll('text')) {
    const at = text.getBoundingClientRect();
    const box = boxes.find((one) => {
      const r = one.getBoundingClientRect();
      return r.left <= at.left + at.width / 2 && at.left + at.width / 2 <= r.right && r.top <= at.top + 4 && at.bottom - 4 <= r.bottom;
    });
    const behind = box === undefined ? ground : getComputedStyle(box).fill;
    const [a, b] = [light(getComputedStyle(text).fill), light(behind)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < worst.contrast) Object.assign(worst, { contrast, text: text.textContent });
  }
  return worst;
})()`;

it.each(['dark', 'light'])('drawings are readable, %s', async (colorScheme) => {
  const page = await browser.newPage({ viewport: { width: 800, height: 700 }, colorScheme });
  const grounds = new Set<string>();
  const wrong: string[] = [];
  for (const file of globSync(['docs/**/*.svg', 'examples/**/*.svg'], { cwd: root })) {
    await page.goto(`file://${join(root, file)}`, { waitUntil: 'load' });
    const { contrast, text, ground } = await page.evaluate<{ contrast: number; text: string; ground: string }>(
      lookAtDrawing,
    );
    grounds.add(ground);
    if (!(contrast >= 4.5)) wrong.push(`${file}: "${text}" ${contrast.toFixed(2)} on ${ground}`);
  }
  await page.close();
  expect(wrong).toEqual([]);
  // painted by themselves, one ground for all
  expect([...grounds]).toEqual([colorScheme === 'dark' ? 'rgb(22, 29, 38)' : 'rgb(255, 255, 255)']);
});
