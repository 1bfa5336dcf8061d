/** CLIENT §4, cases 1–4, 6, 9: what a person sends is there at once, once, in order, and kept. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Browser, Page } from 'playwright-core';
import { openBrowser } from './browser.ts';
import {
  areSettled,
  closeDesk,
  comeOnline,
  composer,
  type Desk,
  newName,
  openDesk,
  openListed,
  openWith,
  ready,
  send,
  SETTLED,
  signIn,
  signUp,
  texts,
  trespasses,
  until,
} from './person.ts';
import { RunningServer } from './running-server.ts';

describe('sending in a browser', () => {
  const server = new RunningServer();
  let browser: Browser;
  let ana: Desk;
  let bo: Desk;
  let anaPage: Page;
  let boPage: Page;
  const anaName = newName('ana');
  const boName = newName('bo');

  before(async () => {
    await server.start();
    browser = await openBrowser();
    ana = await openDesk(browser, () => server.url);
    bo = await openDesk(browser, () => server.url);
    [anaPage, boPage] = await Promise.all([
      signUp(ana, anaName, 'Ana Ruiz'),
      signUp(bo, boName, 'Bo Lind'),
    ]);
    await openWith(anaPage, boName);
    await openWith(boPage, anaName);
  });

  after(async () => {
    await browser?.close();
    await Promise.all([ana?.proxy.stop(), bo?.proxy.stop()]);
    await server.stop();
  });

  it('an own row stands within 50 ms and its commit moves the tick in the same node (case 1)', async () => {
    const took: number[] = [];
    for (let i = 0; i < 5; i++) took.push(await timeOfEcho(anaPage, `fast ${i}`));
    assert.ok((took.toSorted((a, b) => a - b)[2] ?? 0) < 50, `took ${took.join(', ')} ms`);
    await until(anaPage, (rows) => rows.length === 5 && areSettled(rows));
    const kept = await anaPage.evaluate(() => {
      const noted = (window as unknown as { noted: { row: HTMLElement; height: number }[] }).noted;
      return noted.map(({ row, height }) => row.isConnected && row.offsetHeight === height);
    });
    assert.deepEqual(kept, [true, true, true, true, true]);
  });

  it('a commit leaves focus and selection where they are (S3)', async () => {
    ana.proxy.cut();
    await send(anaPage, 'chosen while it waits');
    await until(anaPage, (rows) => rows.at(-1)?.state === 'SENDING');
    await anaPage.evaluate(() => {
      const row = [...document.querySelectorAll<HTMLElement>('.row.mine')].at(-1);
      const words = row?.querySelector('.text')?.firstChild;
      if (row === undefined || words === undefined || words === null) throw new Error('no row');
      row.focus();
      getSelection()?.setBaseAndExtent(words, 0, words, 'chosen'.length);
      (window as unknown as { chosen: HTMLElement }).chosen = row;
    });
    await comeOnline(ana);
    await until(anaPage, (rows) => areSettled(rows) && rows.at(-1)?.state === 'READ');
    const kept = await anaPage.evaluate(() => {
      const { chosen } = window as unknown as { chosen: HTMLElement };
      return { hasFocus: document.activeElement === chosen, selected: String(getSelection()) };
    });
    assert.deepEqual(kept, { hasFocus: true, selected: 'chosen' });
  });

  it('the other reads it live; sent, delivered and read show in order (R021)', async () => {
    await until(boPage, (rows) => rows.length === 6);
    await boPage.bringToFront();
    await until(anaPage, (rows) => rows.every((row) => row.state === 'READ'), {
      what: 'not all read',
    });
  });

  it('a double click on Send sends once, everywhere (case 2)', async () => {
    await composer(anaPage).fill('only once');
    await anaPage.getByRole('button', { name: 'Send' }).dblclick();
    await until(anaPage, (rows) => rows.length === 7 && areSettled(rows));
    await until(boPage, (rows) => rows.length === 7);
    assert.equal((await texts(boPage)).filter((text) => text === 'only once').length, 1);
  });

  it('two who send 20 each at once, and a fresh device, see one order (case 3)', async () => {
    const burst = async (page: Page, who: string): Promise<void> => {
      for (let i = 0; i < 20; i++) await send(page, `${who} ${i}`);
    };
    await Promise.all([burst(anaPage, 'ana'), burst(boPage, 'bo')]);
    const isWhole = (rows: { text: string; sequence: number }[]): boolean =>
      rows.filter((row) => /^(ana|bo) \d+$/.test(row.text) && row.sequence > 0).length === 40;
    const [one, two] = await Promise.all([until(anaPage, isWhole), until(boPage, isWhole)]);
    const fresh = await openDesk(browser, () => server.url);
    const freshPage = await signIn(fresh, anaName);
    await openListed(freshPage, 'Bo Lind');
    const three = await until(freshPage, isWhole);
    await closeDesk(fresh);
    const order = one.map((row) => row.text).slice(-40);
    assert.deepEqual(two.map((row) => row.text).slice(-40), order);
    assert.deepEqual(three.map((row) => row.text).slice(-40), order);
    for (const who of ['ana', 'bo']) {
      const own = order.filter((text) => text.startsWith(`${who} `));
      assert.deepEqual(
        own,
        Array.from({ length: 20 }, (_, i) => `${who} ${i}`),
      );
    }
  });

  it('a commit whose answer was lost leaves one row each, ticked within 2 s (case 4)', async () => {
    ana.proxy.deafen();
    await send(anaPage, 'is it there?');
    await until(boPage, (rows) => rows.at(-1)?.text === 'is it there?');
    ana.proxy.cut();
    await comeOnline(ana);
    const back = Date.now();
    await until(anaPage, (rows) => SETTLED.has(rows.at(-1)?.state ?? ''));
    assert.ok(Date.now() - back < 2_000, `${Date.now() - back} ms`);
    for (const page of [anaPage, boPage])
      assert.equal((await texts(page)).filter((text) => text === 'is it there?').length, 1);
  });

  it('three sent offline stand below the tide mark after a reload, then go in order (case 6)', async () => {
    ana.proxy.cut();
    for (const text of ['off 1', 'off 2', 'off 3']) await send(anaPage, text);
    await anaPage.locator('[data-tide="3"]').waitFor();
    await anaPage.reload();
    await ready(anaPage);
    await until(anaPage, (rows) => rows.slice(-3).every((row) => row.state === 'SENDING'));
    await anaPage.locator('[data-tide="3"]').waitFor();
    assert.deepEqual((await texts(anaPage)).slice(-3), ['off 1', 'off 2', 'off 3']);
    await comeOnline(ana);
    const back = Date.now();
    await until(anaPage, (rows) => areSettled(rows) && rows.at(-1)?.text === 'off 3');
    assert.ok(Date.now() - back < 2_000, `${Date.now() - back} ms`);
    await anaPage.locator('[data-tide]').waitFor({ state: 'detached' });
    await until(boPage, (rows) => rows.at(-1)?.text === 'off 3');
    assert.deepEqual((await texts(boPage)).slice(-3), ['off 1', 'off 2', 'off 3']);
  });

  it('a tab killed at Enter leaves the text in the draft or in the outbox, never both or none (case 9)', async () => {
    const found: string[] = [];
    for (const delayMs of [0, 1, 4, 20]) {
      const text = `killed ${found.length}`;
      const page = await ana.context.newPage();
      await page.goto(`/${await anaPage.evaluate(() => location.hash)}`);
      await composer(page).fill(text);
      await page.waitForTimeout(600);
      await crashAtEnter(page, delayMs);
      const next = await ana.context.newPage();
      await next.goto(`/${await anaPage.evaluate(() => location.hash)}`);
      await composer(next).waitFor();
      const place = async (): Promise<string> => {
        const draft = (await composer(next).inputValue()) === text ? ['draft'] : [];
        const rows = (await texts(next)).filter((row) => row === text).map(() => 'outbox');
        return [...draft, ...rows].join(' and ');
      };
      for (let i = 0; i < 100 && (await place()) === ''; i++) await next.waitForTimeout(50);
      await next.waitForTimeout(500);
      const where = await place();
      assert.match(where, /^(draft|outbox)$/, `${text}, ${delayMs} ms: ${where}`);
      found.push(where);
      await composer(next).fill('');
      await next.waitForTimeout(500);
      await next.close();
    }
    assert.equal(found.length, 4);
  });

  it('nothing was asked of others and no policy was broken (case 48)', () => {
    assert.deepEqual(trespasses, []);
  });
});

/** From the key press to the row in the page, inside the page. Notes the row for later. */
async function timeOfEcho(page: Page, text: string): Promise<number> {
  await composer(page).fill(text);
  await composer(page).focus();
  await page.evaluate((wanted) => {
    const notes = window as unknown as {
      noted?: { row: HTMLElement; height: number }[];
      took?: number;
    };
    notes.noted ??= [];
    delete notes.took;
    let pressed = 0;
    addEventListener('keydown', () => (pressed = performance.now()), { capture: true, once: true });
    const column = document.querySelector('.column');
    if (column === null) throw new Error('no column');
    new MutationObserver((_, observer) => {
      const row = [...document.querySelectorAll<HTMLElement>('.row.mine')].at(-1);
      if (row === undefined || !row.textContent?.includes(wanted)) return;
      observer.disconnect();
      notes.took = performance.now() - pressed;
      notes.noted?.push({ row, height: row.offsetHeight });
    }).observe(column, { childList: true, subtree: true });
  }, text);
  await page.keyboard.press('Enter');
  const took = await page.waitForFunction(() => (window as unknown as { took?: number }).took);
  return (await took.jsonValue()) ?? Number.POSITIVE_INFINITY;
}

async function crashAtEnter(page: Page, delayMs: number): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  const crashed = new Promise<void>((done) => page.once('crash', () => done()));
  await page.evaluate(() => {
    document
      .querySelector('.composer textarea')
      ?.dispatchEvent(
        new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }),
      );
  });
  if (delayMs > 0) await new Promise((done) => setTimeout(done, delayMs));
  devtools.send('Page.crash').catch(() => undefined);
  await crashed;
  await page.close();
}
