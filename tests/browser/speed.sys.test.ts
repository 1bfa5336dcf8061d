/**
 * A long conversation and a loud one (CLIENT §2, §4 cases 23, 24 in part): nothing the page does
 * takes the thread for long, and what stands in it stays bounded.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Browser, Page } from 'playwright-core';
import { TestClient } from '../../gateways/testing/test-client.ts';
import { type Caller, logIn, sendMessage } from './api.ts';
import { openBrowser } from './browser.ts';
import {
  closeDesk,
  composer,
  type Desk,
  newName,
  openDesk,
  openListed,
  signIn,
  signUp,
  texts,
  trespasses,
  until,
} from './person.ts';
import { RunningServer } from './running-server.ts';
import { within } from '../within.ts';

const ROWS = 10_000;
const AT_ONCE = 24;
/** A task longer than this is felt as a stutter. */
const TASK_MS_MAX = 200;
/** CLIENT §2: at most 120 rows; each has some ten elements, and the rest of the page few hundred. */
const ROWS_MAX = 120;
const ELEMENTS_MAX = 3_000;
const FLICK_PX = 2_000;
const FLICK_MS_MAX = 120_000;

interface Seen {
  readonly longestMs: number;
  readonly tasks: number;
  readonly rows: number;
  readonly elements: number;
}

describe('speed in a browser', function () {
  this.timeout(300_000);
  const unlimited = {
    PARLEY_REQUEST_RATE: '10000000',
    PARLEY_FRAME_RATE: '1000000',
    PARLEY_FRAME_BURST: '1000000',
  };
  const server = new RunningServer(unlimited);
  const [anaName, boName] = [newName('ana'), newName('bo')];
  let browser: Browser;
  let ana: Desk;
  let page: Page;
  let bo: Caller;
  let to = '';

  before(async () => {
    await server.start();
    browser = await openBrowser();
    for (const name of [anaName, boName]) {
      const desk = await openDesk(browser, () => server.url);
      page = await signUp(desk, name, name === boName ? 'Bo Loud' : 'Ana Ruiz');
      if (name === anaName) ana = desk;
      else await closeDesk(desk);
    }
    const anas = await logIn(server.url, anaName);
    bo = await logIn(server.url, boName);
    to = `direct:${anas.userId}`;
    await closeDesk(ana);
    await writeRows(bo, to);
    const reader = await openDesk(browser, () => server.url);
    await readToTheEnd(await signIn(reader, anaName));
    await closeDesk(reader);
    // A browser that holds nothing of what was read.
    ana = await openDesk(browser, () => server.url);
    page = await signIn(ana, anaName);
  });

  after(async () => {
    await browser?.close();
    await ana?.proxy.stop();
    await server.stop();
  });

  it('10,000 rows: opened at once, scrolled to the first one, no task above 200 ms, at most 120 rows', async () => {
    await page.locator('.list-row').first().waitFor();
    await watch(page);
    await within(2_000, async () => {
      await openListed(page, 'Bo Loud');
      await page.locator('.row[data-key]').first().waitFor();
    });
    await until(page, (rows) => rows.at(-1)?.sequence === ROWS);
    await flickToBeginning(page);
    const seen = await look(page);
    check(seen);
  });

  it('typing while 100 messages a second arrive: every key is there, no task above 200 ms', async () => {
    await page.locator('.jump').click();
    await page.locator('.jump').waitFor({ state: 'detached' });
    await watch(page);
    const text = 'one types on while all the others talk, and nothing of it is lost';
    const count = 600;
    const pour = (async () => {
      const begun = Date.now();
      const sends: Promise<void>[] = [];
      for (let i = 0; i < count; i++) {
        sends.push(sendMessage(bo, to, { text: { body: `loud ${i}` } }));
        const ahead = i * 10 - (Date.now() - begun);
        if (ahead > 0) await new Promise((done) => setTimeout(done, ahead));
      }
      await Promise.all(sends);
    })();
    await composer(page).focus();
    await page.keyboard.type(text, { delay: 60 });
    await pour;
    assert.equal(await composer(page).inputValue(), text);
    await until(page, (rows) => rows.some((row) => row.text === `loud ${count - 1}`));
    const seen = await look(page);
    check(seen);
    const loud = (await texts(page)).filter((each) => each.startsWith('loud '));
    assert.equal(new Set(loud).size, loud.length);
  });

  it('nothing was asked of others and no policy was broken (case 48)', () => {
    assert.deepEqual(trespasses, []);
  });
});

/** Over one connection: that takes a third of what as many requests do. */
async function writeRows(from: Caller, to: string): Promise<void> {
  const url = `${from.url.replace('http', 'ws')}/v1/ws`;
  const client = new TestClient({ url, format: 'proto' });
  await client.hello(from.token);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, lane) => {
      for (let i = lane; i < ROWS; i += AT_ONCE) {
        const { commit } = await client.say(to, `row ${i}${' and so on'.repeat(i % 12)}`);
        assert.ok(commit !== undefined, `row ${i}`);
      }
    }),
  );
  client.socket.close();
}

/** It was never read, so it opens at its first row. */
async function readToTheEnd(page: Page): Promise<void> {
  await openListed(page, 'Bo Loud');
  await page.locator('.jump').click();
  await until(page, (rows) => rows.at(-1)?.sequence === ROWS);
  await page.locator('.list-row .badge').waitFor({ state: 'detached' });
}

function check({ longestMs, tasks, rows, elements }: Seen): void {
  assert.ok(longestMs <= TASK_MS_MAX, `a task of ${longestMs.toFixed(0)} ms among ${tasks}`);
  assert.ok(rows <= ROWS_MAX, `${rows} rows`);
  assert.ok(elements <= ELEMENTS_MAX, `${elements} elements`);
}

/** From now on: the longest task, and the most that stood in the page at any frame. */
async function watch(page: Page): Promise<void> {
  await page.evaluate(() => {
    const notes = window as unknown as { seen: { -readonly [K in keyof Seen]: Seen[K] } };
    const isFirst = notes.seen === undefined;
    notes.seen = { longestMs: 0, tasks: 0, rows: 0, elements: 0 };
    if (!isFirst) return;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        notes.seen.tasks += 1;
        notes.seen.longestMs = Math.max(notes.seen.longestMs, duration);
      }
    }).observe({ type: 'longtask' });
    const frame = (): void => {
      const rows = document.querySelectorAll('.row[data-key]').length;
      notes.seen.rows = Math.max(notes.seen.rows, rows);
      const elements = document.querySelectorAll('*').length;
      notes.seen.elements = Math.max(notes.seen.elements, elements);
      requestAnimationFrame(frame);
    };
    frame();
  });
}

function look(page: Page): Promise<Seen> {
  return page.evaluate(() => (window as unknown as { seen: Seen }).seen);
}

/** A flick in every frame, until the first row stands in the page. */
async function flickToBeginning(page: Page): Promise<void> {
  const isThere = await page.evaluate(
    ([px, msMax]) =>
      new Promise<boolean>((done) => {
        const end = performance.now() + msMax;
        const flick = (): void => {
          const first = document.querySelector<HTMLElement>('.row[data-key]');
          if (first?.dataset['sequence'] === '1') return done(true);
          if (performance.now() > end) return done(false);
          document.querySelector('.scroll')?.scrollBy(0, -px);
          requestAnimationFrame(flick);
        };
        flick();
      }),
    [FLICK_PX, FLICK_MS_MAX] as const,
  );
  assert.ok(isThere, 'never at the first row');
}
