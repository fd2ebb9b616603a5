// Begins where all else is declared.

for (const article of document.querySelectorAll("article.play")) article.player = new Player(article);
document.addEventListener("keydown", (event) => {
  if (event.target === document.body) document.querySelector("article.play").player.key(event);
});
