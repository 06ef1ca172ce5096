"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  // Charts name their colours ("@accent"); the style sheet has the values.
  function resolve(value, styles) {
    if (typeof value === "string" && value.startsWith("@")) {
      return styles.getPropertyValue("--" + value.slice(1)).trim() || value;
    }
    if (Array.isArray(value)) return value.map((item) => resolve(item, styles));
    if (value && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, resolve(item, styles)]),
      );
    }
    return value;
  }

  function draw() {
    const styles = getComputedStyle(document.documentElement);
    for (const figure of document.querySelectorAll("figure.chart")) {
      const chart = JSON.parse(figure.querySelector("script").textContent);
      Plotly.react(
        figure.querySelector(".plot"),
        resolve(chart.data, styles),
        resolve(chart.layout, styles),
        { displayModeBar: false, responsive: true, displaylogo: false },
      );
    }
  }

  function compare(left, right) {
    if (left === "" || right === "") return (left === "") - (right === ""); // unknown goes last
    const difference = Number(left) - Number(right);
    return Number.isNaN(difference) ? left.localeCompare(right, "en", { numeric: true }) : difference;
  }

  function readCell(row, column) {
    const cell = row.cells[column];
    return cell.dataset.sort ?? cell.textContent.trim();
  }

  function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => compare(readCell(a, column), readCell(b, column)) * (ascending ? 1 : -1));
        table.tBodies[0].append(...rows);
      });
    });
  }

  function makeFilterable(bar) {
    const table = bar.parentElement.querySelector("table.candidates");
    const [text, verdict, count] = ["input", "select", "output"].map((tag) => bar.querySelector(tag));
    const rows = [...table.tBodies[0].rows];
    function apply() {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const content = row.textContent.toLowerCase() + " " + readCell(row, 0).toLowerCase();
        row.hidden =
          (verdict.value !== "" && row.dataset.verdict !== verdict.value) ||
          !words.every((word) => content.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = `${shown} of ${rows.length}`;
    }
    text.addEventListener("input", apply);
    verdict.addEventListener("change", apply);
    apply();
    bar.hidden = false;
  }

  document.querySelectorAll("table.candidates").forEach(makeSortable);
  document.querySelectorAll(".filter").forEach(makeFilterable);
  draw();
  dark.addEventListener("change", draw);
  window.addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing"); // paper is always light
    draw();
  });
  window.addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    draw();
  });
})();
