// A smoke test of the page in Firefox, through WebDriver BiDi: node firefox_smoke.mjs PUPPETEER_CORE FIREFOX ADDRESS
import { pathToFileURL } from "node:url";

const [puppeteerFolder, firefox, address] = process.argv.slice(2);
const { default: puppeteer } = await import(pathToFileURL(`${puppeteerFolder}/lib/esm/puppeteer/puppeteer-core.js`));

const browser = await puppeteer.launch({ browser: "firefox", executablePath: firefox, headless: true });
try {
  const page = await browser.newPage();
  await page.goto(address);
  await page.waitForSelector("#results[aria-busy=false] img");
  const found = { photos: await page.$$eval("#results button", (tiles) => tiles.map(({ title }) => title)) };

  await page.type("#q", "red");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.search === "?q=red" && document.querySelector("#results").ariaBusy === "false");
  if (await page.$eval("#better", ({ hidden }) => !hidden)) await page.click("#better"); // on a slow machine
  found.first = await page.$eval("#results button", ({ title }) => title);

  await page.click("#filters");
  found.filters = [await page.$eval("#filter-panel", ({ hidden }) => !hidden)];
  await page.keyboard.press("Escape");
  found.filters.push(await page.$eval("#filter-panel", ({ hidden }) => !hidden));

  await page.click("#results button");
  await page.waitForSelector("#viewer[open] dd");
  found.opened = await page.$eval("#viewer-name", ({ textContent }) => textContent);
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => !document.querySelector("#viewer").open);
  found.address = await page.evaluate(() => location.search + location.hash);
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
}
