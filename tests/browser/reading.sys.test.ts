/** CLIENT §4, cases 33, 35, 36, 42–44, and a second tab: what one sees stays readable and true. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Page } from 'playwright-core';
import { logIn, sendMessage } from './api.ts';
import { Company, type Person } from './company.ts';
import {
  areSettled,
  closeDesk,
  comeOnline,
  composer,
  newName,
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
import { within } from '../within.ts';

describe('reading in a browser', () => {
  const company = new Company();
  const { server } = company;
  let ana: Person;
  let bo: Person;

  before(async () => {
    await company.start();
    // U+202E turns what follows it around: it must not reach beyond the name.
    ana = await company.join('ana', 'Ana \u202Ezi\u202C Ruiz');
    bo = await company.join('bo', 'Bo Lind');
    await openWith(ana.page, bo.username);
    await openWith(bo.page, ana.username);
  });

  after(() => company.stop());

  it('a word of 300 letters at 320 px makes nothing scroll sideways (case 33)', async () => {
    await bo.page.setViewportSize({ width: 320, height: 640 });
    await send(ana.page, 'w'.repeat(300));
    await until(bo.page, (rows) => rows.at(-1)?.text.length === 300);
    const excess = await bo.page.evaluate(() =>
      ['html', '.scroll', '.column', '.composer']
        .map((at) => document.querySelector(at))
        .map((box) => (box === null ? 999 : box.scrollWidth - box.clientWidth)),
    );
    assert.deepEqual(excess, [0, 0, 0, 0]);
    await bo.page.setViewportSize({ width: 1200, height: 800 });
  });

  it('names of 100 letters are cut at 320 px, in rows, lists and dialogs; what they say stays in view', async () => {
    const name =
      'Cyrus the Cartographer of all Northern Isles and of what lies beyond them '.repeat(2);
    const desk = await company.newDesk();
    const longName = newName('long');
    const page = await signUp(desk, longName, name.slice(0, 100));
    await bo.page.setViewportSize({ width: 320, height: 640 });
    await bo.page.getByRole('button', { name: 'Back to conversations' }).click();
    await bo.page.getByRole('button', { name: 'New conversation' }).first().click();
    await bo.page.getByRole('searchbox', { name: 'People', exact: true }).fill(longName);
    await bo.page.locator('.person.pick').first().click();
    assert.deepEqual(await outOfView(bo.page), [], 'picked');
    await bo.page.getByLabel(/^Group name/).fill('Long names');
    await bo.page.getByRole('button', { name: /^Make the group/ }).click();
    await send(bo.page, 'who is here?');
    await openListed(page, 'Long names');
    await send(page, 'בסדר');
    await until(bo.page, (rows) => rows.at(-1)?.text === 'בסדר');
    assert.deepEqual(await outOfView(bo.page), [], 'rows');
    await bo.page.getByRole('button', { name: 'Members and details' }).click();
    await bo.page.locator('[data-member]').nth(1).waitFor();
    assert.deepEqual(await outOfView(bo.page), [], 'members');
    await bo.page.keyboard.press('Escape');
    await bo.page.setViewportSize({ width: 1200, height: 800 });
    await openListed(bo.page, 'Ruiz');
    await closeDesk(desk);
  });

  it('Hebrew, English, digits and overrides leave the margin where it is (case 35)', async () => {
    await send(ana.page, 'plain');
    await send(ana.page, 'שלום world 123, עוד 45.6');
    await send(ana.page, '\u202Eoverridden\u202C then 7');
    await until(bo.page, (rows) => rows.at(-1)?.text.includes('then 7') === true);
    const margins = await bo.page.evaluate(() =>
      [...document.querySelectorAll('.row .margin')].slice(-3).map((margin) => {
        const { left, right } = margin.getBoundingClientRect();
        return `${Math.round(left)}–${Math.round(right)}`;
      }),
    );
    assert.equal(new Set(margins).size, 1, margins.join(' '));
  });

  it('Enter that confirms Japanese does not send; the next one does (case 36)', async () => {
    const devtools = await ana.desk.context.newCDPSession(ana.page);
    const count = (await texts(ana.page)).length;
    await composer(ana.page).focus();
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
    await ana.page.waitForTimeout(200);
    assert.equal((await texts(ana.page)).length, count);
    await devtools.send('Input.insertText', { text: '日本' });
    await composer(ana.page).press('Enter');
    await until(ana.page, (rows) => rows.at(-1)?.text === '日本');
    assert.equal((await texts(ana.page)).length, count + 1);
  });

  it('a message of a kind this version does not know shows its fallback (case 43)', async () => {
    const script = await logIn(server.url, ana.username);
    const bos = await logIn(server.url, bo.username);
    await sendMessage(script, `direct:${bos.userId}`, {
      custom: { schema: 'example.poll/1', data: 'e30=' },
      fallback: 'Poll: tea or coffee?',
    });
    await until(bo.page, (rows) => rows.at(-1)?.text === 'Poll: tea or coffee?');
  });

  it('history that fails offers Retry in place, and Retry loads it (case 44)', async () => {
    const readerName = newName('reader');
    const first = await company.newDesk();
    await signUp(first, readerName);
    await closeDesk(first);
    const reader = await logIn(server.url, readerName);
    const anas = await logIn(server.url, ana.username);
    for (let i = 0; i < 300; i++)
      await sendMessage(reader, `direct:${anas.userId}`, { text: { body: `old ${i}` } });

    const desk = await company.newDesk();
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
    await makeGroup(ana.page, 'Crew', bo.username);
    await openListed(bo.page, 'Crew');
    await composer(bo.page).fill('half a sentence');
    await ana.page.getByRole('button', { name: 'Members and details' }).click();
    await ana.page.getByRole('button', { name: 'Actions for Bo Lind' }).click();
    await ana.page.getByRole('menuitem', { name: 'Remove from the group' }).click();
    await within(1_000, () => bo.page.locator('.composer textarea[readonly]').waitFor());
    assert.equal(await composer(bo.page).inputValue(), 'half a sentence');
    await ana.page.keyboard.press('Escape');
    await send(ana.page, 'without Bo');
    await until(ana.page, (rows) => rows.at(-1)?.text === 'without Bo' && areSettled(rows));
    await bo.page.waitForTimeout(300);
    assert.equal((await texts(bo.page)).includes('without Bo'), false);
  });

  it('a second tab takes over, the first says so and takes back; one connection throughout', async () => {
    await openListed(ana.page, 'Bo Lind');
    await until(ana.page, (rows) => rows[0]?.text.length === 300);
    const second = await ana.desk.context.newPage();
    await second.goto(`/${await ana.page.evaluate(() => location.hash)}`);
    await ready(second);
    await ana.page.locator('[data-status="follower"]').waitFor();
    await ana.page.locator('.row[data-key]').last().focus();
    await ana.page.keyboard.press('e');
    await ana.page.keyboard.press('Enter');
    assert.deepEqual(await ana.page.getByRole('menuitem').allInnerTexts(), ['Copy text']);
    await ana.page.keyboard.press('Escape');
    assert.equal(await composer(ana.page).inputValue(), '');
    await send(second, 'from the second tab');
    await until(second, (rows) => rows.at(-1)?.text === 'from the second tab' && areSettled(rows));
    assert.equal(ana.desk.proxy.liveConnections, 1);
    await ana.page.getByRole('button', { name: 'Use here' }).click();
    await second.locator('[data-status="follower"]').waitFor();
    await ana.page.locator('[data-status="follower"]').waitFor({ state: 'detached' });
    await until(ana.page, (rows) => rows.at(-1)?.text === 'from the second tab');
    await send(ana.page, 'from the first again');
    await openListed(bo.page, 'Ruiz');
    await until(bo.page, (rows) => rows.at(-1)?.text === 'from the first again');
    assert.equal(ana.desk.proxy.liveConnections, 1);
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
