/** CLIENT §4, cases 33, 35, 36, 42–44, and a second tab: what one sees stays readable and true. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Browser, Page } from 'playwright-core';
import { logIn, sendMessage } from './api.ts';
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
  signIn,
  signUp,
  texts,
  trespasses,
  until,
} from './person.ts';
import { RunningServer } from './running-server.ts';

describe('reading in a browser', () => {
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
    // U+202E turns what follows it around: it must not reach beyond the name.
    anaPage = await signUp(ana, anaName, 'Ana \u202Ezi\u202C Ruiz');
    boPage = await signUp(bo, boName, 'Bo Lind');
    await openWith(anaPage, boName);
    await openWith(boPage, anaName);
  });

  after(async () => {
    await browser?.close();
    await Promise.all([ana?.proxy.stop(), bo?.proxy.stop()]);
    await server.stop();
  });

  it('a word of 300 letters at 320 px makes nothing scroll sideways (case 33)', async () => {
    await boPage.setViewportSize({ width: 320, height: 640 });
    await send(anaPage, 'w'.repeat(300));
    await until(boPage, (rows) => rows.at(-1)?.text.length === 300);
    const excess = await boPage.evaluate(() =>
      ['html', '.scroll', '.column', '.composer']
        .map((at) => document.querySelector(at))
        .map((box) => (box === null ? 999 : box.scrollWidth - box.clientWidth)),
    );
    assert.deepEqual(excess, [0, 0, 0, 0]);
    await boPage.setViewportSize({ width: 1200, height: 800 });
  });

  it('names of 100 letters are cut at 320 px, in rows, lists and dialogs; what they say stays in view', async () => {
    const name =
      'Cyrus the Cartographer of all Northern Isles and of what lies beyond them '.repeat(2);
    const desk = await openDesk(browser, () => server.url);
    const longName = newName('long');
    const page = await signUp(desk, longName, name.slice(0, 100));
    await boPage.setViewportSize({ width: 320, height: 640 });
    await boPage.getByRole('button', { name: 'Back to conversations' }).click();
    await boPage.getByRole('button', { name: 'New conversation' }).first().click();
    await boPage.getByRole('searchbox', { name: 'People', exact: true }).fill(longName);
    await boPage.locator('.person.pick').first().click();
    assert.deepEqual(await outOfView(boPage), [], 'picked');
    await boPage.getByLabel(/^Group name/).fill('Long names');
    await boPage.getByRole('button', { name: /^Make the group/ }).click();
    await send(boPage, 'who is here?');
    await openListed(page, 'Long names');
    await send(page, 'בסדר');
    await until(boPage, (rows) => rows.at(-1)?.text === 'בסדר');
    assert.deepEqual(await outOfView(boPage), [], 'rows');
    await boPage.getByRole('button', { name: 'Members and details' }).click();
    await boPage.locator('[data-member]').nth(1).waitFor();
    assert.deepEqual(await outOfView(boPage), [], 'members');
    await boPage.keyboard.press('Escape');
    await boPage.setViewportSize({ width: 1200, height: 800 });
    await openListed(boPage, 'Ruiz');
    await closeDesk(desk);
  });

  it('Hebrew, English, digits and overrides leave the margin where it is (case 35)', async () => {
    await send(anaPage, 'plain');
    await send(anaPage, 'שלום world 123, עוד 45.6');
    await send(anaPage, '\u202Eoverridden\u202C then 7');
    await until(boPage, (rows) => rows.at(-1)?.text.includes('then 7') === true);
    const margins = await boPage.evaluate(() =>
      [...document.querySelectorAll('.row .margin')].slice(-3).map((margin) => {
        const { left, right } = margin.getBoundingClientRect();
        return `${Math.round(left)}–${Math.round(right)}`;
      }),
    );
    assert.equal(new Set(margins).size, 1, margins.join(' '));
  });

  it('Enter that confirms Japanese does not send; the next one does (case 36)', async () => {
    const devtools = await ana.context.newCDPSession(anaPage);
    const count = (await texts(anaPage)).length;
    await composer(anaPage).focus();
    await devtools.send('Input.imeSetComposition', {
      text: 'にほん',
      selectionStart: 3,
      selectionEnd: 3,
    });
    await devtools.send('Input.dispatchKeyEvent', {
      type: 'rawKeyDown',
      key: 'Enter',
      code: 'Enter',
      windowsVirtualKeyCode: 229,
    });
    await anaPage.waitForTimeout(200);
    assert.equal((await texts(anaPage)).length, count);
    await devtools.send('Input.insertText', { text: '日本' });
    await composer(anaPage).press('Enter');
    await until(anaPage, (rows) => rows.at(-1)?.text === '日本');
    assert.equal((await texts(anaPage)).length, count + 1);
  });

  it('a message of a kind this version does not know shows its fallback (case 43)', async () => {
    const script = await logIn(server.url, anaName);
    const bos = await logIn(server.url, boName);
    await sendMessage(script, `direct:${bos.userId}`, {
      custom: { schema: 'example.poll/1', data: 'e30=' },
      fallback: 'Poll: tea or coffee?',
    });
    await until(boPage, (rows) => rows.at(-1)?.text === 'Poll: tea or coffee?');
  });

  it('history that fails offers Retry in place, and Retry loads it (case 44)', async () => {
    const readerName = newName('reader');
    const first = await openDesk(browser, () => server.url);
    await signUp(first, readerName);
    await closeDesk(first);
    const reader = await logIn(server.url, readerName);
    const anas = await logIn(server.url, anaName);
    for (let i = 0; i < 300; i++)
      await sendMessage(reader, `direct:${anas.userId}`, { text: { body: `old ${i}` } });

    const desk = await openDesk(browser, () => server.url);
    const page = await signIn(desk, readerName);
    await openListed(page, 'Ruiz');
    await until(page, (rows) => rows.at(-1)?.text === 'old 299');
    desk.proxy.cut();
    const failure = page.getByText('Older messages did not load.');
    await wheelUpUntil(page, async () => (await failure.count()) > 0);
    await comeOnline(desk);
    await page.locator('.edge').getByRole('button', { name: 'Retry' }).click();
    await failure.waitFor({ state: 'detached' });
    await wheelUpUntil(page, async () => (await texts(page)).includes('old 0'));
    await closeDesk(desk);
  });

  it('removed while typing: closed within 1 s, the text stays to copy, no later row (case 42)', async () => {
    await makeGroup(anaPage, 'Crew', boName);
    await openListed(boPage, 'Crew');
    await composer(boPage).fill('half a sentence');
    await anaPage.getByRole('button', { name: 'Members and details' }).click();
    await anaPage.getByRole('button', { name: 'Actions for Bo Lind' }).click();
    await anaPage.getByRole('menuitem', { name: 'Remove from the group' }).click();
    const removed = Date.now();
    await boPage.locator('.composer textarea[readonly]').waitFor();
    assert.ok(Date.now() - removed < 1_000, `${Date.now() - removed} ms`);
    assert.equal(await composer(boPage).inputValue(), 'half a sentence');
    await anaPage.keyboard.press('Escape');
    await send(anaPage, 'without Bo');
    await until(anaPage, (rows) => rows.at(-1)?.text === 'without Bo' && areSettled(rows));
    await boPage.waitForTimeout(300);
    assert.equal((await texts(boPage)).includes('without Bo'), false);
  });

  it('a second tab takes over, the first says so and takes back; one connection throughout', async () => {
    await openListed(anaPage, 'Bo Lind');
    await until(anaPage, (rows) => rows[0]?.text.length === 300);
    const second = await ana.context.newPage();
    await second.goto(`/${await anaPage.evaluate(() => location.hash)}`);
    await ready(second);
    await anaPage.locator('[data-status="follower"]').waitFor();
    await send(second, 'from the second tab');
    await until(second, (rows) => rows.at(-1)?.text === 'from the second tab' && areSettled(rows));
    assert.equal(ana.proxy.liveConnections, 1);
    await anaPage.getByRole('button', { name: 'Use here' }).click();
    await second.locator('[data-status="follower"]').waitFor();
    await anaPage.locator('[data-status="follower"]').waitFor({ state: 'detached' });
    await until(anaPage, (rows) => rows.at(-1)?.text === 'from the second tab');
    await send(anaPage, 'from the first again');
    await openListed(boPage, 'Ruiz');
    await until(boPage, (rows) => rows.at(-1)?.text === 'from the first again');
    assert.equal(ana.proxy.liveConnections, 1);
    await second.close();
  });

  it('nothing was asked of others and no policy was broken (case 48)', () => {
    assert.deepEqual(trespasses, []);
  });
});

/** What reaches beyond the window's sides, though nobody can scroll there. */
function outOfView(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    await Promise.all(document.getAnimations().map((each) => each.finished));
    const inside = 'dialog[open] button, dialog[open] input, .row .words, .row .text, .head *';
    return [...document.querySelectorAll(inside)].flatMap((node) => {
      const { left, right, width } = node.getBoundingClientRect();
      return width > 0 && (left < -1 || right > innerWidth + 1)
        ? [`${node.className} ${node.textContent?.slice(0, 20)} ${left}–${right}`]
        : [];
    });
  });
}

const WHEELS_MAX = 500;

async function wheelUpUntil(page: Page, isSo: () => Promise<boolean>): Promise<void> {
  await page.mouse.move(700, 400);
  for (let i = 0; i < WHEELS_MAX; i++) {
    if (await isSo()) return;
    await page.mouse.wheel(0, -600);
    await page.waitForTimeout(50);
  }
  assert.fail(`never so: ${(await texts(page)).slice(0, 5).join(', ')}`);
}

async function makeGroup(page: Page, name: string, member: string): Promise<void> {
  await page.getByRole('button', { name: 'New conversation' }).first().click();
  await page.getByRole('searchbox', { name: 'People', exact: true }).fill(member);
  await page.locator('.person.pick').first().click();
  await page.getByLabel(/^Group name/).fill(name);
  await page.getByRole('button', { name: /^Make the group/ }).click();
  await composer(page).waitFor();
  await send(page, `${name} begins`);
  await until(page, (rows) => rows.length === 1 && areSettled(rows));
}
